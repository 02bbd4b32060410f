"""The application that serve.py starts. `DATABASE` and `SECRET` are in its environment."""

import os
import urllib.parse
import uuid

import django
import jwt
from django.conf import settings
from django.db import connections

DATABASE = os.environ["DATABASE"]


def database():
    if not DATABASE.startswith("postgres"):
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;"
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE, "OPTIONS": {"init_command": pragmas, "transaction_mode": "IMMEDIATE"}}
    url = urllib.parse.urlsplit(DATABASE)
    return {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username, "PASSWORD": url.password or "",
        "HOST": url.hostname, "PORT": url.port or 5432,
    }


settings.configure(
    SECRET_KEY=os.environ["SECRET"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    DATABASES={"default": database() | {"CONN_MAX_AGE": None}},
    USE_TZ=True,
    TIME_ZONE="UTC",
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from django.db import models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from rest_framework import authentication, exceptions, generics, permissions, serializers  # noqa: E402


class User(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    is_authenticated = True

    class Meta:
        app_label, db_table, managed = "blog", "users", False


class Post(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=200)
    slug = models.SlugField(max_length=200, unique=True)
    body = models.TextField(default="", blank=True)
    status = models.TextField(default="draft")
    author = models.ForeignKey(User, models.CASCADE)
    published_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, db_table, managed = "blog", "posts", False


def token(author):
    return jwt.encode({"sub": str(author)}, settings.SECRET_KEY, algorithm="HS256")


class Bearer(authentication.BaseAuthentication):
    def authenticate(self, request):
        header = request.headers.get("authorization")
        if header is None:
            return None
        try:
            claims = jwt.decode(header.removeprefix("Bearer "), settings.SECRET_KEY, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            raise exceptions.AuthenticationFailed from None
        return User(id=uuid.UUID(claims["sub"])), None


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model, fields = User, ["id", "name"]


class PostSerializer(serializers.ModelSerializer):
    author_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = Post
        fields = ["id", "title", "slug", "body", "status", "author_id", "published_at", "created_at"]
        read_only_fields = ["id", "status", "published_at", "created_at"]


class PostWithAuthor(PostSerializer):
    author = AuthorSerializer(read_only=True)

    class Meta(PostSerializer.Meta):
        fields = [*PostSerializer.Meta.fields, "author"]


class Readable:
    authentication_classes = [Bearer]
    permission_classes = [permissions.IsAuthenticatedOrReadOnly]

    def get_queryset(self):
        rule = models.Q(status="published")
        if self.request.user is not None:
            rule |= models.Q(author_id=self.request.user.id)
        return Post.objects.filter(rule)


class ReadOne(Readable, generics.RetrieveAPIView):
    serializer_class = PostSerializer


class Posts(Readable, generics.ListCreateAPIView):
    def get_serializer_class(self):
        return PostWithAuthor if "author" in self.request.query_params else PostSerializer

    def get_queryset(self):
        asked = self.request.query_params
        rows = super().get_queryset().filter(status=asked["status"]).order_by("-created_at")
        if "author" in asked:
            rows = rows.select_related("author")
        return rows[: int(asked["limit"])]

    def perform_create(self, serializer):
        serializer.save(author=self.request.user)


urlpatterns = [
    path("health", lambda request: HttpResponse("ok")),
    path("posts/<uuid:pk>", ReadOne.as_view()),
    path("posts", Posts.as_view()),
]
application = get_wsgi_application()
