"""/projects: the projects (or servers) of an account and their daily limits."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, object_of
from accounts.models import Project
from core import json_body
from core.amounts import plain_or_none
from core.endpoint import Endpoint, query_of
from core.fields import instant
from core.pagination import Page, PageQuery, page
from core.unset import UNSET
from usage import projects
from usage.api import request_schemas, response_schemas


class Projects(Endpoint):
    """Projects of the account, newest first, and creating one."""

    scopes = {"GET": "manage", "POST": "manage"}
    raises = {"POST": (projects.NameTaken,)}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.Project])
    def get(self, request: Request) -> HttpResponse:
        """The account's projects, newest first."""
        query = query_of(request, PageQuery)
        rows = Project.objects.filter(account_id=account_of(request))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_project))

    @extend_schema(request=request_schemas.ProjectInput, responses={201: response_schemas.Project})
    def post(self, request: Request) -> HttpResponse:
        """Create a project, with or without a daily limit."""
        body = request_schemas.ProjectInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        project = projects.create(
            account_id=account_id, name=body["name"], daily_limit=body.get("daily_limit"), now=self.now
        )
        return json_body.answer(_project(project), 201)


class OneProject(Endpoint):
    """Change or archive a project."""

    scopes = {"PATCH": "manage"}
    raises = {"PATCH": (projects.UnknownProject, projects.NameTaken)}
    path_ids = {"project": Project}

    @extend_schema(request=request_schemas.ProjectChange, responses=response_schemas.Project)
    def patch(self, request: Request, project: str) -> HttpResponse:
        body = request_schemas.ProjectChange.checked(request.data)
        found = object_of(request, Project, project, body.get("account"))
        changed = projects.change(
            account_id=found.account_id,
            project_id=found.pk,
            name=body.get("name"),
            daily_limit=body.get("daily_limit", UNSET),
            archived=body.get("archived"),
            now=self.now,
        )
        return json_body.answer(_project(changed))


def _project(project: Project) -> response_schemas.Project:
    return {
        "id": project.public_id,
        "name": project.name,
        "daily_limit": plain_or_none(project.daily_limit),
        "archived": project.archived_at is not None,
        "created_at": instant(project.created_at),
    }
