"""/projects: servers or projects of an account, and what each may spend a day."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Project
from core import json_body
from core.endpoint import Endpoint, query_of
from core.pagination import PageQuery, page
from core.problems import not_found
from usage import projects
from usage.api import answers, inputs, shapes
from usage.api.refusals import refusals


class Projects(Endpoint):
    scopes = {"GET": "manage", "POST": "manage"}

    @extend_schema(parameters=[PageQuery], responses=answers.list_of(answers.Project))
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        rows = Project.objects.filter(account_id=account_of(request))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), shape=shapes.project))

    @extend_schema(request=inputs.ProjectInput, responses={201: answers.Project})
    def post(self, request: Request) -> HttpResponse:
        body = inputs.ProjectInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        with refusals(account_id, self.now):
            project = projects.create(
                account_id=account_id, name=body["name"], daily_limit=body.get("daily_limit"), now=self.now
            )
        return json_body.answer(shapes.project(project), 201)


class OneProject(Endpoint):
    scopes = {"PATCH": "manage"}

    @extend_schema(request=inputs.ProjectChange, responses=answers.Project)
    def patch(self, request: Request, project: str) -> HttpResponse:
        body = inputs.ProjectChange.checked(request.data)
        account_id = account_of(request, body.get("account"))
        project_id = Project.uuid_of(project)
        if project_id is None:
            raise not_found()
        with refusals(account_id, self.now):
            changed = projects.change(
                account_id=account_id,
                project_id=project_id,
                name=body.get("name"),
                daily_limit=body.get("daily_limit", projects.UNSET),
                archived=body.get("archived"),
                now=self.now,
            )
        return json_body.answer(shapes.project(changed))
