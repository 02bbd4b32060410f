"""The application that serve.py starts. `DATABASE` and `SECRET` are in its environment."""

import datetime
import os
import uuid
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, ForeignKey, create_engine, event, or_, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

DATABASE = os.environ["DATABASE"]
SECRET = os.environ["SECRET"]
SQLITE = not DATABASE.startswith("postgres")
engine = create_engine(
    f"sqlite:///{DATABASE}" if SQLITE else DATABASE.replace("postgres://", "postgresql+psycopg://").replace("postgresql://", "postgresql+psycopg://"),
    pool_size=10,
)
if SQLITE:

    @event.listens_for(engine, "connect")
    def settings(connection, _):
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class Post(Base):
    __tablename__ = "posts"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    title: Mapped[str]
    slug: Mapped[str]
    body: Mapped[str]
    status: Mapped[str]
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    published_at: Mapped[datetime.datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.datetime.now(datetime.UTC))
    author: Mapped[User] = relationship()


class Author(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    name: str


class PostOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    title: str
    slug: str
    body: str
    status: str
    author_id: uuid.UUID
    published_at: datetime.datetime | None
    created_at: datetime.datetime


class PostWithAuthor(PostOut):
    author: Author


class NewPost(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    slug: str = Field(pattern="^[a-z0-9-]+$")
    body: str = ""


def token(author):
    return jwt.encode({"sub": str(author)}, SECRET, algorithm="HS256")


def who(authorization: Annotated[str | None, Header()] = None):
    if authorization is None:
        return None
    try:
        return uuid.UUID(jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])["sub"])
    except (jwt.InvalidTokenError, ValueError):
        raise HTTPException(401) from None


def database():
    with Session(engine) as session:
        yield session


Me = Annotated[uuid.UUID | None, Depends(who)]
Database = Annotated[Session, Depends(database)]
app = FastAPI()


def readable(me):
    return or_(Post.status == "published", Post.author_id == me)


@app.get("/health")
def health():
    return {"ok": True}


@app.get("/posts/{id}", response_model=PostOut)
def read_one(id: uuid.UUID, me: Me, session: Database):
    post = session.scalar(select(Post).where(Post.id == id, readable(me)))
    if post is None:
        raise HTTPException(404)
    return post


@app.get("/posts", response_model=list[PostWithAuthor] | list[PostOut])
def read_many(status: str, limit: int, me: Me, session: Database, author: bool = False):
    query = select(Post).where(Post.status == status, readable(me)).order_by(Post.created_at.desc()).limit(limit)
    if author:
        return [PostWithAuthor.model_validate(post) for post in session.scalars(query.options(joinedload(Post.author)))]
    return [PostOut.model_validate(post) for post in session.scalars(query)]


@app.post("/posts", status_code=201)
def create(post: NewPost, me: Me, session: Database, response: Response):
    if me is None:
        raise HTTPException(401)
    row = Post(**post.model_dump(), status="draft", author_id=me)
    session.add(row)
    session.commit()
    response.headers["location"] = f"/posts/{row.id}"
