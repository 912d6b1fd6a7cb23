//! The built-in policies as a matrix, as a table with reasons, and as properties; users' policies with their faults.

use super::*;
use expect_test::{expect, expect_file};
use kernel::session::Actor;
use kernel::{Id, Time};
use proptest::prelude::*;
use serde_json::json;
use std::fs;
use std::sync::LazyLock;

const HOME: TenantId = TenantId::HOME;

/// A few classes of each verb with the fields that policies ask about.
struct Model;

const KINDS: &[(&str, &str, &[&str])] = &[
    ("host", "know", &[]),
    ("service", "know", &[]),
    ("check", "watch", &[]),
    ("silence", "watch", &[]),
    ("incident", "respond", &["assignee"]),
    ("runbook-run", "respond", &["requested_by", "agent"]),
    ("request", "serve", &["requester", "receiver", "approvers"]),
    ("article", "serve", &["audience"]),
    ("announcement", "serve", &[]),
    ("complaint", "serve", &["requester"]),
    ("change", "change", &["requested_by", "approvers"]),
    ("risk", "protect", &[]),
    ("proposal", "plan", &["customer"]),
    ("contract", "plan", &["supplier"]),
    ("report", "prove", &["customer"]),
    ("person", "kernel", &[]),
    ("token", "kernel", &[]),
    ("agent", "kernel", &[]),
    ("saved-view", "kernel", &["shared"]),
];

impl Classes for Model {
    fn verb(&self, kind: &Kind) -> Option<&'static str> {
        KINDS.iter().find(|(name, ..)| *name == kind.as_str()).map(|(_, verb, _)| *verb)
    }
    fn column(&self, kind: &Kind, field: &str) -> Option<Column> {
        let (.., fields) = KINDS.iter().find(|(name, ..)| *name == kind.as_str())?;
        let word = match field {
            "shared" => Word::Bool,
            "approvers" => Word::List,
            _ => Word::Text,
        };
        fields.contains(&field).then(|| Column::Field { path: field.into(), word, indexed: false })
    }
}

/// Reading and validating them takes far longer than a decision.
static BUILT_IN: LazyLock<Policies> = LazyLock::new(Policies::built_in);
static WITH_USERS: LazyLock<Policies> = LazyLock::new(|| with_users(USERS).expect("they load"));

fn who(actor: &str, roles: &[&str]) -> Who {
    let actor = Actor::parse(actor);
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    Who::new(actor.kind, &actor.key, &actor.key, HOME, &roles)
}

fn record(kind: &str, state: &str, owner: Option<&str>, fields: serde_json::Value) -> Record {
    let now = Time::from_micros(1_700_000_000_000_000);
    Record {
        id: Id::new(now),
        tenant: HOME,
        kind: Kind::new(kind),
        key: "R-1".into(),
        state: state.into(),
        open: true,
        state_since: now,
        title: "a record".into(),
        owner: owner.map(str::to_owned),
        health: None,
        version: 1,
        created: now,
        updated: now,
        deleted: false,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

fn verdict(policies: &Policies, who: &Who, operation: &str, record: &Record) -> Verdict {
    let verb = Model.verb(&record.kind).unwrap_or_default();
    policies.verdict(&Model, who, &Ask { operation, kind: &record.kind, verb, record: Some(record) })
}

/// Each line of `decisions.txt`: who, roles, operation, class, what of the record counts, the decision, the policy that made it.
#[test]
fn what_each_may_and_why() {
    let policies = &*BUILT_IN;
    let mut seen = 0;
    for line in include_str!("decisions.txt").lines().filter(|l| !l.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [actor, roles, operation, class, on, decision, policy] = cells[..] else { panic!("{line}: seven cells") };
        let roles: Vec<&str> = roles.split(',').filter(|r| *r != "-").collect();
        let verdict = verdict(policies, &who(actor, &roles), operation, &written(class, on));
        let by_none = policy == "nothing allows it" && verdict.reason.starts_with("no policy allows");
        let by = by_none || verdict.reason.ends_with(&format!("({policy})"));
        assert!(verdict.allowed == (decision == "may") && by, "{line}\ngot {verdict:?}");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

/// A record from `state=draft owner=ana approvers=[ana,ben]`.
fn written(class: &str, text: &str) -> Record {
    let mut fields = serde_json::Map::new();
    for (name, value) in text.split_whitespace().filter_map(|part| part.split_once('=')) {
        let value = match (value, value.strip_prefix('[').and_then(|v| v.strip_suffix(']'))) {
            (_, Some(list)) => list.split(',').collect(),
            ("true" | "false", None) => json!(value == "true"),
            (value, None) => json!(value),
        };
        fields.insert(name.to_owned(), value);
    }
    let text = |value: Option<serde_json::Value>| value.and_then(|v| v.as_str().map(str::to_owned));
    let (state, owner) = (text(fields.remove("state")).unwrap_or_default(), text(fields.remove("owner")));
    record(class, &state, owner.as_deref(), serde_json::Value::Object(fields))
}

/// Rows: who. Columns: a class of each verb. Letters: read, create, update, delete, link, transition, note, observe, correct,
/// approve (the step), run, admin, ingest.
#[test]
fn the_matrix_of_rights_is_as_agreed() {
    let policies = &*BUILT_IN;
    let operations = [
        ("r", "read"),
        ("c", "create"),
        ("u", "update"),
        ("d", "delete"),
        ("l", "link"),
        ("t", "transition:work"),
        ("n", "note"),
        ("o", "observe"),
        ("C", "correct"),
        ("A", "transition:approve"),
        ("R", "run"),
        ("a", "admin"),
        ("i", "ingest"),
    ];
    let kinds = [
        "host",
        "check",
        "incident",
        "request",
        "change",
        "risk",
        "proposal",
        "report",
        "person",
        "token",
        "runbook-run",
    ];
    let mut rows: Vec<(String, Who)> =
        ROLES.iter().map(|role| ((*role).to_owned(), who("person:ana", &[role]))).collect();
    rows.push(("a person without a role".into(), who("person:ana", &[])));
    rows.push(("a token of a customer".into(), who("token:t1", &["customer"])));
    rows.extend(
        ["ingest:k1", "agent:web-1", "controller:x", "system:mainstay", "anonymous:nobody"]
            .map(|actor| (actor.to_owned(), who(actor, &[]))),
    );
    let mut text = format!("{:24}{}\n", "", kinds.map(|k| format!("{k:15}")).concat());
    for (name, who) in &rows {
        let cells = kinds.map(|kind| {
            let on = record(kind, "active", None, json!({}));
            let may: String = operations
                .iter()
                .filter(|(_, operation)| verdict(policies, who, operation, &on).allowed)
                .map(|(letter, _)| *letter)
                .collect();
            format!("{:15}", if may.is_empty() { "-".into() } else { may })
        });
        text.push_str(&format!("{name:24}{}", cells.concat()));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    expect_file!["matrix.txt"].assert_eq(&text);
}

fn somebody() -> impl Strategy<Value = Who> {
    let actor = prop::sample::select(
        &[
            "person:ana",
            "person:ben",
            "token:ana",
            "local:0",
            "ingest:ana",
            "agent:ana",
            "controller:x",
            "system:mainstay",
            "anonymous:nobody",
        ][..],
    );
    (actor, prop::sample::subsequence(&ROLES[..], 0..3)).prop_map(|(actor, roles)| who(actor, &roles))
}

fn some_record() -> impl Strategy<Value = Record> {
    let name = || prop::sample::select(&["ana", "ben", "team", "users", ""][..]);
    let fields = prop::collection::btree_map(
        prop::sample::select(
            &["agent", "assignee", "audience", "customer", "receiver", "requested_by", "requester", "supplier"][..],
        ),
        name(),
        0..5,
    );
    let states = prop::sample::select(&["draft", "published", "active", ""][..]);
    let keys = prop::sample::select(&["ana", "ben", "R-1"][..]);
    (
        prop::sample::select(KINDS),
        states,
        prop::option::of(name()),
        fields,
        prop::option::of(any::<bool>()),
        prop::option::of(prop::collection::vec(name(), 0..3)),
        any::<bool>(),
        keys,
    )
        .prop_map(|((kind, _, has), state, owner, fields, shared, approvers, open, key)| {
            // A record has only fields of its class: that is checked before it is written.
            let mut all: serde_json::Map<String, serde_json::Value> =
                fields.into_iter().filter(|(f, _)| has.contains(f)).map(|(f, v)| (f.to_owned(), json!(v))).collect();
            all.extend(shared.filter(|_| has.contains(&"shared")).map(|s| ("shared".to_owned(), json!(s))));
            all.extend(approvers.filter(|_| has.contains(&"approvers")).map(|a| ("approvers".to_owned(), json!(a))));
            Record { open, key: key.into(), ..record(kind, state, owner, serde_json::Value::Object(all)) }
        })
}

/// Conditions that users might write, beyond those of the built-in policies.
const USERS: &str = r#"
@id("u-if") @why("x") permit(principal in Role::"customer", action in [Action::"read", Action::"note"], resource is Record)
  when { if resource.class == "host" then resource.open else (resource has owner && resource.owner != principal.me && ["a", "draft"].contains(resource.state)) };
@id("u-forbid") @why("x") forbid(principal, action, resource) when { resource has audience && !(resource.audience == "team") && principal in Role::"desktop" };
@id("u-is") @why("x") permit(principal is Agent, action, resource) when { (resource.state == "active") == resource.open };
@id("u-one") @why("x") permit(principal == Person::"ben", action == Action::"read", resource == Record::"R-1");
"#;

fn with_users(text: &str) -> Result<Policies, Vec<PolicyError>> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("users.cedar"), text).expect("written");
    Policies::load(folder.path())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_list_shows_exactly_what_a_single_read_shows(who in somebody(), record in some_record(), users in any::<bool>()) {
        let policies = if users { &*WITH_USERS } else { &*BUILT_IN };
        let single = verdict(policies, &who, "read", &record).allowed;
        let listed = policies.readable(&Model, &who, &record.kind).is_some_and(|p| kernel::eval::matches(&p, &record).expect("no link or word is asked for"));
        prop_assert_eq!(single, listed, "{:?} reads {:?}", who, record);
    }

    #[test]
    fn nobody_does_anything_in_another_tenant(who in somebody(), record in some_record(), operation in prop::sample::select(&["read", "create", "update", "delete", "link", "transition:approve", "note", "observe", "correct", "run", "admin", "ingest", "job", "paint"][..])) {
        let policies = &*BUILT_IN;
        let there = Record { tenant: TenantId(2), ..record };
        let verdict = verdict(policies, &who, operation, &there);
        prop_assert!(!verdict.allowed, "{:?} {} {:?}", who, operation, verdict);
    }

    #[test]
    fn who_may_read_something_of_a_class_may_ask_for_the_list(who in somebody(), record in some_record()) {
        let policies = &*BUILT_IN;
        let list = policies.verdict(&Model, &who, &Ask { operation: "read", kind: &record.kind, verb: "", record: None });
        prop_assert!(list.allowed || !verdict(policies, &who, "read", &record).allowed);
        prop_assert_eq!(list.allowed, policies.readable(&Model, &who, &record.kind).is_some());
    }

    #[test]
    fn no_text_makes_the_policy_reader_panic(text in "(permit|forbid|@id|@why|[ -~\n\"]){0,40}") {
        let _ = load::policies(&[load::Source::of("x.cedar", &text)]);
    }
}

#[test]
fn lists_ask_the_store_only_what_depends_on_the_record() {
    let policies = &*BUILT_IN;
    let of = |who: &Who, kind: &str| format!("{:?}", policies.readable(&Model, who, &Kind::new(kind)));
    expect![[r#"Some(All)"#]].assert_eq(&of(&who("person:ana", &["system"]), "incident"));
    expect![[r#"Some(And([Present(Owner), In(Owner, [Text("ana")])]))"#]]
        .assert_eq(&of(&who("person:ana", &["system"]), "token"));
    expect!["None"].assert_eq(&of(&who("person:ana", &["customer"]), "incident"));
    expect!["None"].assert_eq(&of(&who("ingest:k1", &[]), "check"));
    expect!["None"].assert_eq(&of(&who("anonymous:nobody", &[]), "announcement"));
}

#[test]
fn users_policies_add_and_forbid_and_show_in_lists() {
    let policies = &with_users(
        r#"
        @id("auditors-read") @why("our auditors read changes")
        permit(principal in Role::"auditor", action == Action::"read", resource) when { resource.class == "change" };
        @id("secret-project") @why("project Tulpe is for its own people")
        forbid(principal, action, resource) when { resource has requester && resource.requester == "tulpe" } unless { principal in Role::"admin" };
        "#,
    )
    .expect("they load");
    let auditor = who("person:ana", &["auditor"]);
    assert!(verdict(policies, &auditor, "read", &record("change", "", None, json!({}))).allowed);
    assert!(!verdict(policies, &auditor, "update", &record("change", "", None, json!({}))).allowed);
    let tulpe = record("request", "", None, json!({"requester": "tulpe"}));
    let refused = verdict(policies, &who("person:ben", &["help-desk"]), "read", &tulpe);
    assert_eq!(
        (refused.allowed, refused.reason.as_str()),
        (false, "project Tulpe is for its own people (secret-project)")
    );
    let list = policies.readable(&Model, &who("person:ben", &["help-desk"]), &Kind::new("request")).expect("some");
    assert_eq!(kernel::eval::matches(&list, &tulpe), Some(false));
    assert!(verdict(policies, &who("person:ana", &["admin"]), "read", &tulpe).allowed);
}

#[test]
fn a_fault_in_a_policy_file_is_told_with_file_and_line() {
    let head =
        "// Ours.\n@id(\"a\") @why(\"fine, permit( or not\")\npermit(principal in Role::\"a\", action, resource);\n\n";
    for (text, line, part) in [
        ("permit(principal, action, resource", 5, "unexpected end"),
        ("permit(principal, action resource);", 5, "unexpected token"),
        ("@why(\"x\")\npermit(principal, action, resource);", 6, "needs an @id"),
        ("@id(\"b\")\n\npermit(principal, action, resource);", 7, "needs a @why"),
        ("@id(\"B x\") @why(\"x\")\npermit(principal, action, resource);", 6, "needs an @id"),
        ("@id(\"b\") @why(\" \")\npermit(principal, action, resource);", 6, "needs a @why"),
        ("@id(\"admin\") @why(\"x\")\npermit(principal, action, resource);", 5, "another policy"),
        (
            "@id(\"b\") @why(\"x\")\npermit(principal, action, resource)\nwhen { resource.colour == \"red\" };",
            7,
            "colour",
        ),
        (
            "@id(\"b\") @why(\"x\")\npermit(principal, action, resource)\nwhen { resource.owner == \"ana\" };",
            7,
            "owner",
        ),
        ("@id(\"b\") @why(\"x\")\npermit(principal, action == Action::\"raed\", resource);", 6, "raed"),
        (
            "@id(\"b\") @why(\"x\")\npermit(principal, action, resource)\nwhen { resource.state like \"a*\" };",
            5,
            "`like` cannot be asked of the store",
        ),
        ("@id(\"b\") @why(\"x\")\npermit(principal == ?principal, action, resource);", 1, "templates"),
    ] {
        let faults = with_users(&format!("{head}{text}")).err().unwrap_or_else(|| panic!("{text} loads"));
        let fault = &faults[0];
        assert!(
            fault.file.ends_with("users.cedar") && fault.line == line && fault.message.contains(part),
            "{text}: {faults:?}"
        );
    }
    assert!(with_users(&format!("{head}@id(\"b\") @why(\"x\")\npermit(principal in Role::\"a\", action == Action::\"note\", resource)\nwhen {{ resource.state like \"a*\" }};")).is_ok(), "what does not apply to reading may ask more");
    assert!(Policies::load(Path::new("/nonexistent/policies")).is_ok(), "no folder is an empty folder");
}

#[test]
fn the_built_in_policies_fit_the_schema() {
    let unproven: Vec<_> = load::built_in().into_iter().map(load::Source::unproven).collect();
    assert_eq!(load::policies(&unproven).err(), None);
}

#[test]
fn a_decision_is_explained_with_policies_reasons_and_who_could() {
    let policies = &*BUILT_IN;
    let explain = |who: &Who, operation: &str, on: &Record| {
        policies.explain(
            &Model,
            who,
            &Ask { operation, kind: &on.kind, verb: Model.verb(&on.kind).unwrap_or_default(), record: Some(on) },
        )
    };
    expect![[r#"
        person ana (customer) may not update incident R-1.
          no policy allows person ana (customer) to update incident; what no policy allows is refused.
          Roles that could: admin, system, desktop, application, database, automation, devops, big-data, security, cloud, low-voltage, network-engineer, help-desk, security-analyst, operations-manager.
    "#]]
    .assert_eq(&explain(&who("person:ana", &["customer"]), "update", &record("incident", "detected", None, json!({}))));
    expect![[r#"
        person ana (operations-manager) may not approve change R-1.
          forbid no-approval-of-ones-own: somebody else must approve what one has asked for, or does, oneself
          Roles that could: admin.
    "#]]
    .assert_eq(&explain(
        &who("person:ana", &["operations-manager"]),
        "transition:approve",
        &record("change", "", None, json!({"requested_by": "ana"})),
    ));
    expect![[r#"
        person ana (database, system) may update host R-1.
          permit database: database engineers run databases: state, changes, repair, backup
          permit system: system engineers know, watch, change and protect machines and mend them
          Roles that could: admin, implementation, system, desktop, application, database, automation, devops, big-data, cloud, low-voltage, network-engineer.
    "#]]
    .assert_eq(&explain(&who("person:ana", &["system", "database"]), "update", &record("host", "", None, json!({}))));
}

#[test]
fn a_decision_on_a_class_is_made_once_and_one_on_a_record_each_time() {
    let decided = decided::Decided::default();
    let session = |roles: &[&str]| {
        Session::authenticated(Actor::parse("token:t"), HOME, roles.iter().map(ToString::to_string).collect())
    };
    let kind = Kind::new("host");
    let some = record("host", "active", None, json!({}));
    let mut made = 0;
    let mut asked = |session: &Session, owner, operation, record, edition| {
        let ask = Ask { operation, kind: &kind, verb: "know", record };
        let before = made;
        let decide = || {
            made += 1;
            Verdict { allowed: true, reason: String::new() }
        };
        decided.or(decided::Question::of(session, owner, &ask, edition), decide);
        made > before
    };
    let system = session(&["system"]);
    assert!(asked(&system, Some("ana"), "read", None, 0), "the first time");
    assert!(!asked(&system, Some("ana"), "read", None, 0), "and not again");
    assert!(asked(&system, Some("ben"), "read", None, 0), "another's token");
    assert!(asked(&session(&["desktop"]), Some("ana"), "read", None, 0), "another role");
    assert!(asked(&Session::controller("t", HOME), Some("ana"), "read", None, 0), "somebody else of that name");
    assert!(asked(&system, Some("ana"), "create", None, 0), "another act");
    assert!(asked(&system, Some("ana"), "read", None, 1), "the classes have changed");
    assert!(asked(&system, Some("ana"), "read", Some(&some), 1) && asked(&system, Some("ana"), "read", Some(&some), 1));
}
