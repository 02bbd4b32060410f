//! The audit log: one chain, read by its owner, cut, and tampered with.

use super::*;
use crate::on_each_store;

on_each_store!(
    the_audit_log_is_one_chain_whoever_writes,
    the_owner_reads_the_audit_log,
    the_audit_log_is_cut_and_stays_a_chain
);

async fn the_audit_log_is_one_chain_whoever_writes(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let session = world.sign_up("ann@example.org").await;
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    // Eight that write, and two nodes that bind meanwhile.
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..3 {
                    world.sign_in("ann@example.org", world.now()).await.unwrap();
                }
            })
        })
        .collect();
    let binders: Vec<_> = [world.auth.clone(), other]
        .into_iter()
        .map(|auth| {
            tokio::spawn(async move {
                for _ in 0..20 {
                    auth.chain_audit().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    for each in writers.into_iter().chain(binders) {
        each.await.unwrap();
    }
    let wrong = PasswordSignIn { email: "ann@example.org".into(), password: Secret::new("wrong") };
    world.auth.sign_in(world.visit(world.now()), wrong).await.unwrap_err();
    let unknown = PasswordSignIn { email: "kanari@example.org".into(), password: Secret::new("kanari-password") };
    world.auth.sign_in(world.visit(world.now()), unknown).await.unwrap_err();
    world.with_factor(&session, world.now()).await;
    world.auth.chain_audit().await.unwrap();
    let AuditVerdict::Whole { head, pending, .. } = world.auth.verify_audit(None).await.unwrap() else {
        panic!("broken")
    };
    let entries = world.auth.audit_entries(0, 500).await.unwrap();
    assert_eq!((pending, entries.len()), (0, usize::try_from(head.seq).unwrap()));
    let times = |event: &str| entries.iter().filter(|entry| entry.event == event).count();
    assert_eq!((times("login"), times("login_failed"), times("user_created")), (25, 2, 1));
    assert_eq!((times("factor_in_progress"), times("mfa_verified")), (1, 1));
    let all = format!("{entries:?}");
    assert!(!all.contains("example.org") && !all.contains("kanari") && !all.contains(PASSWORD), "{all}");
    // A head of before is in it; one that was never there is not.
    world.sign_in("ann@example.org", world.now()).await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let whole = |verdict| matches!(verdict, AuditVerdict::Whole { .. });
    assert!(whole(world.auth.verify_audit(Some(head)).await.unwrap()));
    let forged = AuditHead { hash: [7; 32], ..head };
    assert!(!whole(world.auth.verify_audit(Some(forged)).await.unwrap()));
    let cut = AuditHead { seq: head.seq + 99, ..head };
    assert!(!whole(world.auth.verify_audit(Some(cut)).await.unwrap()));
}

async fn the_owner_reads_the_audit_log(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann_a@example.org").await;
    world.sign_up("annxa@example.org").await;
    world.sign_in("ann_a@example.org", world.now()).await.unwrap();
    let wrong = PasswordSignIn { email: "ann_a@example.org".into(), password: Secret::new("wrong") };
    world.auth.sign_in(world.visit(world.now()), wrong).await.unwrap_err();
    let ban = AccountSettings { ban: Some(Ban::For(SECOND)), ..AccountSettings::default() };
    world.auth.change_account(world.visit(world.now()), &world.owner(), ann.account.id, ban).await.unwrap();
    let read = async |number, rows, filter: Option<AuditFilter>| {
        world.auth.audit_log(&world.owner(), Page { number, rows }, filter).await.unwrap()
    };
    let all = read(1, 1_000, None).await;
    assert_eq!(all.total, all.events.len() as u64);
    assert!(all.events.windows(2).all(|pair| pair[0].at / 1_000 >= pair[1].at / 1_000), "newest first");
    let ids = |page: &AuditPage| page.events.iter().map(|event| event.id).collect::<Vec<_>>();
    let mut paged = Vec::new();
    for number in 1..=all.total.div_ceil(2) {
        let page = read(u32::try_from(number).unwrap(), 2, None).await;
        assert_eq!(page.total, all.total);
        paged.extend(ids(&page));
    }
    assert_eq!(paged, ids(&all));
    let shown = async |filter| {
        let page = read(1, 1_000, Some(filter)).await;
        assert_eq!(page.total, page.events.len() as u64);
        let event = |event: &AuditEvent| format!("{} {} {}", event.kind, event.action, event.actor_name);
        let mut shown: Vec<String> = page.events.iter().map(event).collect();
        shown.sort();
        shown
    };
    let failed = "account login_failed ann_a@example.org";
    let (one, other) = ("account login ann_a@example.org", "account login annxa@example.org");
    let banned = "user user_modified service_role";
    assert_eq!(shown(AuditFilter::Action("LOGIN".into())).await, [one, one, other, failed]);
    assert_eq!(shown(AuditFilter::Action("login_".into())).await, [failed]);
    // A sign stands for itself, and what the owner did to her account is not hers.
    assert_eq!(shown(AuditFilter::Author("N_A@".into())).await, [one, one, failed]);
    assert!(shown(AuditFilter::Author("service".into())).await.contains(&banned.to_owned()));
    assert_eq!(shown(AuditFilter::Kind("user".into())).await, [banned]);
    assert_eq!(shown(AuditFilter::Kind("acc".into())).await, [one, one, other, failed]);
    for none in [AuditFilter::Author("nobody@".into()), AuditFilter::Action("%".into()), AuditFilter::Kind("x".into())]
    {
        assert!(shown(none.clone()).await.is_empty(), "{none:?}");
    }
    for sign in ["%", "\\", "ä", "'"] {
        assert!(shown(AuditFilter::Action(sign.repeat(200))).await.is_empty(), "{sign}");
        assert!(shown(AuditFilter::Author(sign.repeat(200))).await.is_empty(), "{sign}");
    }
    let mut seen = 0;
    for filter in ["account", "team", "token", "factor", "user"] {
        seen += shown(AuditFilter::Kind(filter.into())).await.len() as u64;
    }
    assert_eq!(seen, all.total, "each entry is of one kind");
    // Nobody else reads it, in the port and over the wire.
    let caller = world.identify(&world.sign_up("eve@example.org").await, world.now()).unwrap();
    let page = Page { number: 1, rows: 1 };
    assert_eq!(world.auth.audit_log(&caller, page, None).await.err(), Some(AccountError::NotAdmin));
    let visitor = Caller::visitor(world.server.engine().moment());
    assert_eq!(world.auth.audit_log(&visitor, page, None).await.err(), Some(AccountError::NotAUser));
}

/// Writes past the log, as somebody with the database does.
async fn tamper(world: &World, request: undergird_plan::request::Request) {
    let engine = world.server.engine();
    let system = Caller::system(engine.moment());
    let done = engine.transaction(undergird_engine::Isolation::Serializable, move |transaction| {
        let (request, system) = (request.clone(), system.clone());
        Box::pin(async move {
            transaction.write(&system, request, None).await?;
            Ok(undergird_engine::Outcome::commit(()))
        })
    });
    done.await.unwrap();
}

async fn the_audit_log_is_cut_and_stays_a_chain(on: On) {
    use undergird_model::Value;
    use undergird_plan::request::{Request, Verb};
    let Some(world) = World::new(on, "audit_days = 3").await else { return };
    for name in ["ann", "bob"] {
        world.sign_up(&format!("{name}@example.org")).await;
    }
    // Bound as of ten days ago.
    let long_ago = Value::Timestamp(world.now() - 10 * 86_400 * SECOND);
    tamper(&world, Request::new("_audit_log", Verb::Update).with_row([("at", long_ago)])).await;
    world.auth.chain_audit().await.unwrap();
    let AuditVerdict::Whole { head: old, removed: 0, .. } = world.auth.verify_audit(None).await.unwrap() else {
        panic!("broken")
    };
    // The newest stays, though its time is over too.
    world.auth.sweep().await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let cut = old.seq - 1;
    let verdict = world.auth.verify_audit(Some(old)).await.unwrap();
    let AuditVerdict::Whole { head, pending: 0, removed } = verdict else { panic!("{verdict:?}") };
    assert_eq!((removed, head.seq), (cut, old.seq + 1));
    let entries = world.auth.audit_entries(0, 500).await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.event.as_str())).collect();
    assert_eq!(told[1], (head.seq, "audit_removed"), "{told:?}");
    let detail: Json = serde_json::from_str(entries[1].detail.as_deref().unwrap()).unwrap();
    assert_eq!((&detail["entries"], &detail["seq"]), (&json!(cut), &json!(cut)));
    // What was noted of those that went cannot be told any more; a forged hash of the last of them can.
    let gone = AuditHead { seq: cut - 1, hash: [7; 32] };
    let why = async |noted| match world.auth.verify_audit(Some(noted)).await.unwrap() {
        AuditVerdict::Broken { why, .. } => Some(why),
        AuditVerdict::Whole { .. } => None,
    };
    assert_eq!(why(gone).await, Some(AuditFault::Removed));
    assert_eq!(why(AuditHead { seq: cut, hash: [7; 32] }).await, Some(AuditFault::Head));
    assert_eq!(why(AuditHead { seq: 0, hash: [0; 32] }).await, None);
    // The oldest is a day over its time at the earliest before more goes, and it goes on from there.
    world.sign_in("ann@example.org", world.now()).await.unwrap();
    world.auth.chain_audit().await.unwrap();
    world.auth.sweep().await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let verdict = world.auth.verify_audit(Some(head)).await.unwrap();
    let AuditVerdict::Whole { removed, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(removed, old.seq, "the one that stayed as the newest");
    world.auth.sweep().await.unwrap();
    assert_eq!(world.auth.audit_entries(0, 1).await.unwrap()[0].seq, head.seq, "nothing more is old");
    // Who takes out more than the log tells is found: the first of what is left.
    tamper(&world, Request::new("_audit_log", Verb::Delete).with_equal("seq", Value::Int(head.seq))).await;
    let found = world.auth.verify_audit(None).await.unwrap();
    assert_eq!(found, AuditVerdict::Broken { seq: 1, why: AuditFault::Missing });
}
