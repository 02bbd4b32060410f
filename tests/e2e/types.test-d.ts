// Types that the client infers from the generated `Database`: compiled by `tsc --noEmit`, never run. A wrong type is a failing build.
import { createClient } from '@supabase/supabase-js'
import { Constants, type Database, type Enums, type Tables, type TablesInsert, type TablesUpdate } from './database'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <T extends true>(): T => true as T

const client = createClient<Database>('http://127.0.0.1:8090', 'publishable')

// Rows, new rows, changes.
is<Equal<Tables<'posts'>['status'], 'draft' | 'published'>>()
is<Equal<Tables<'posts'>['published_at'], string | null>>()
is<Equal<Tables<'users'>['email'], string | null>>()
is<Equal<Enums<'posts_status'>, 'draft' | 'published'>>()
is<Equal<(typeof Constants.public.Enums.posts_status)[number], 'draft' | 'published'>>()
const post: TablesInsert<'posts'> = { title: 'A title', slug: 'a-slug' }
const change: TablesUpdate<'posts'> = { status: 'published' }
// @ts-expect-error a post needs a slug
const incomplete: TablesInsert<'posts'> = { title: 'A title' }
// @ts-expect-error a comment cannot move to another post
const moved: TablesUpdate<'comments'> = { post_id: 'another' }

// @ts-expect-error no such column
const coloured: TablesInsert<'posts'> = { title: 'A title', slug: 'a-slug', colour: 'red' }

export async function selects() {
  const all = await client.from('posts').select()
  is<Equal<NonNullable<typeof all.data>, Tables<'posts'>[]>>()

  const some = await client.from('posts').select('id,title').eq('status', 'published').single()
  is<Equal<NonNullable<typeof some.data>, { id: string; title: string }>>()

  // To one, by the relation's column and by the collection's name.
  const author = await client.from('posts').select('title, author:users(name, avatar_url)')
  is<Equal<NonNullable<typeof author.data>[number], { title: string; author: { name: string; avatar_url: string | null } }>>()

  // To many, and many-to-many through the join collection.
  const comments = await client.from('posts').select('title, comments(body, users(name))')
  is<
    Equal<
      NonNullable<typeof comments.data>[number],
      { title: string; comments: { body: string; users: { name: string } }[] }
    >
  >()
  const tags = await client.from('posts').select('title, tags(name)')
  is<Equal<NonNullable<typeof tags.data>[number], { title: string; tags: { name: string }[] }>>()

  const renamed = await client.from('posts').select('headline:title, ...users(author_name:name)')
  is<Equal<NonNullable<typeof renamed.data>[number], { headline: string; author_name: string }>>()

  const count = await client.from('posts').select('status, count()')
  is<Equal<NonNullable<typeof count.data>[number], { status: 'draft' | 'published'; count: number }>>()
}

export async function writes() {
  await client.from('posts').insert([post, post]).select()
  await client.from('posts').upsert(post, { onConflict: 'slug' })
  const updated = await client.from('posts').update(change).eq('id', 'x').select('id').single()
  is<Equal<NonNullable<typeof updated.data>, { id: string }>>()
  // @ts-expect-error no such value
  await client.from('posts').update({ status: 'gone' })
  // @ts-expect-error no such collection
  await client.from('articles').select()
}

void [incomplete, moved, coloured]
