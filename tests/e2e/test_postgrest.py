"""The unmodified `postgrest` package of Python against examples/blog: the core that its documentation promises."""

import pytest
from conftest import unique
from postgrest import APIError, CountMethod, SyncPostgrestClient


def client(app, token):
    headers = {"apikey": app.publishable, "authorization": f"Bearer {token or app.publishable}"}
    return SyncPostgrestClient(f"{app.url}/rest/v1", headers=headers)


@pytest.fixture(scope="module")
def api(app, ann):
    return client(app, ann.token)


@pytest.fixture(scope="module")
def stranger(app, bob):
    return client(app, bob.token)


@pytest.fixture(scope="module")
def nobody(app):
    return client(app, None)


def draft(**more):
    slug = unique("post")
    return {"title": f"Title of {slug}", "slug": slug, "body": "Text", **more}


def fails(query, code):
    with pytest.raises(APIError) as caught:
        query.execute()
    assert caught.value.code == code, caught.value
    return caught.value


def test_insert_select_update_delete(api, ann):
    made = api.from_("posts").insert(draft(status="published")).execute().data[0]
    assert made["author_id"] == ann.id
    read = api.from_("posts").select("title, users(name), comments(body)").eq("id", made["id"]).single().execute().data
    assert read == {"title": made["title"], "users": {"name": "Ann"}, "comments": []}
    changed = api.from_("posts").update({"title": "Better"}).eq("id", made["id"]).execute().data
    assert [row["title"] for row in changed] == ["Better"]
    gone = api.from_("posts").delete().eq("id", made["id"]).execute().data
    assert [row["id"] for row in gone] == [made["id"]]
    assert api.from_("posts").select("id").eq("id", made["id"]).maybe_single().execute() is None


def test_many_and_upsert(api, stranger):
    rows = api.from_("posts").insert([draft(), draft()]).execute().data
    assert len(rows) == 2
    again = [{**row, "title": "Again"} for row in rows]
    for row in again:
        del row["created_at"], row["author_id"]
    changed = api.from_("posts").upsert(again).execute().data
    assert sorted(row["id"] for row in changed) == sorted(row["id"] for row in rows)
    assert {row["title"] for row in changed} == {"Again"}
    kept = api.from_("posts").upsert(draft(slug=rows[0]["slug"]), on_conflict="slug", ignore_duplicates=True).execute()
    assert kept.data == []
    fails(stranger.from_("posts").upsert(draft(slug=rows[0]["slug"]), on_conflict="slug"), "42501")


def test_filters_order_and_counts(api, nobody):
    mark = unique("mark")
    api.from_("posts").insert([draft(title=f"{mark} {n}", status="published") for n in range(5)]).execute()

    def titles(narrow):
        query = nobody.from_("posts").select("title").like("title", f"{mark}%")
        return [row["title"].rsplit(" ", 1)[1] for row in narrow(query).order("title").execute().data]

    assert titles(lambda q: q) == list("01234")
    assert titles(lambda q: q.gt("title", f"{mark} 2")) == list("34")
    assert titles(lambda q: q.in_("title", [f"{mark} 1", f"{mark} 3"])) == list("13")
    assert titles(lambda q: q.not_.eq("title", f"{mark} 1")) == list("0234")
    assert titles(lambda q: q.or_(f"title.eq.{mark} 0,title.eq.{mark} 4")) == list("04")
    assert titles(lambda q: q.is_("published_at", "null").range(1, 2)) == list("12")
    counted = nobody.from_("posts").select("*", count=CountMethod.exact, head=True).like("title", f"{mark}%").execute()
    assert (counted.count, counted.data) == (5, [])
    page = nobody.from_("posts").select("id", count=CountMethod.exact).like("title", f"{mark}%").limit(2).execute()
    assert (page.count, len(page.data)) == (5, 2)
    table = nobody.from_("posts").select("status").like("title", f"{mark}%").limit(1).csv().execute().data
    assert table.split() == ["status", "published"]


def test_errors(api, nobody, stranger):
    assert "title" in fails(nobody.from_("posts").select("titel"), "42703").hint
    fails(nobody.from_("posts").select("*").eq("id", "x"), "22P02")
    fails(nobody.from_("post").select("*"), "PGRST205")
    fails(nobody.from_("posts").insert(draft()), "42501")
    fails(api.from_("posts").insert({"title": "x"}), "23502")
    mine = api.from_("posts").insert(draft(status="published")).execute().data[0]
    fails(stranger.from_("posts").update({"title": "Stolen"}).eq("id", mine["id"]), "42501")
    fails(stranger.from_("posts").delete().eq("id", mine["id"]), "42501")
    fails(api.from_("posts").insert(draft(slug=mine["slug"])), "23505")
    fails(nobody.from_("posts").select("*").eq("title", "no such title").single(), "PGRST116")
