"""What /services and /estimates answer, as the OpenAPI document tells it."""

from rest_framework import serializers

from pricing.models import Service as Priced
from usage.api.response_schemas import Amount, Line, RateVersion


class Band(serializers.Serializer):
    up_to = serializers.IntegerField(allow_null=True)
    credits = Amount()


class PriceLine(serializers.Serializer):
    meter = serializers.CharField()
    credits = Amount()
    per = serializers.IntegerField()
    whole_blocks = serializers.BooleanField()
    also = serializers.ListField(child=serializers.CharField(), help_text="Meters that may be sent instead.")
    bands = Band(many=True)


class Service(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Priced.Kind.choices)
    modality = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    tier = serializers.CharField(allow_null=True)
    speed = serializers.CharField(allow_null=True)
    usage_class = serializers.CharField(allow_null=True)
    best_for = serializers.CharField(allow_null=True)
    providers = serializers.ListField(child=serializers.CharField())
    quota = serializers.CharField(allow_null=True)
    priced = serializers.BooleanField()
    cost_of_model = serializers.BooleanField()
    lines = PriceLine(many=True)
    minimum = Amount()
    multiplier = Amount()
    options = serializers.JSONField()
    rate = RateVersion(allow_null=True)


class Estimate(serializers.Serializer):
    id = serializers.CharField()
    credits = Amount()
    maximum = Amount()
    lines = Line(many=True)
    rate = RateVersion()
    available = Amount()
    sufficient = serializers.BooleanField()
    covered_by = serializers.ChoiceField(choices=["unlimited", "own_key"], allow_null=True)
    approximate = serializers.BooleanField()
    valid_until = serializers.DateTimeField()
