//! People as records, for `access`: who there is, asked at each use.

use access::{Directory, PersonFacts};
use async_trait::async_trait;
use kernel::act::{Act, Create, Target};
use kernel::backend::Backend;
use kernel::query::Column;
use kernel::session::Session;
use kernel::{ActError, Kernel, Kind, TenantId};
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};

/// The directory over the store; the kernel is there as soon as it has started.
pub struct People {
    /// The store.
    pub backend: Arc<dyn Backend>,
    /// The kernel, for the first admin.
    pub kernel: Arc<OnceLock<Kernel>>,
}

#[async_trait]
impl Directory for People {
    async fn person(&self, tenant: TenantId, key: &str) -> Option<PersonFacts> {
        let record = match self.backend.by_key(tenant, key).await {
            Ok(record) => record?,
            Err(error) => {
                tracing::error!(%error, "the store cannot be asked for a person: nobody is let in");
                return None;
            }
        };
        if record.kind.as_str() != "person" {
            return None;
        }
        let roles = record.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        Some(PersonFacts {
            key: record.key.clone(),
            title: record.title.clone(),
            roles: roles.map(str::to_owned).collect(),
            disabled: record.deleted || record.state != "active",
        })
    }

    async fn add_admin(&self, tenant: TenantId, key: &str, title: &str) -> Result<(), String> {
        let kernel = self.kernel.get().ok_or("Mainstay has not finished starting")?;
        let session = Session::system(tenant);
        let told = |e: ActError| e.to_string();
        match kernel.get(&session, "person", key).await {
            Err(ActError::Unknown { .. }) => {
                let create = Create::of("person", json!({"name": title, "roles": [access::ADMIN]})).keyed(key);
                kernel.act(&session, create).await.map_err(told)?;
            }
            Err(error) => return Err(told(error)),
            Ok(person) => {
                let mut roles: Vec<Value> = person.get("roles").and_then(Value::as_array).cloned().unwrap_or_default();
                if !roles.iter().any(|r| r == access::ADMIN) {
                    roles.push(access::ADMIN.into());
                }
                let fields = Map::from_iter([("roles".to_owned(), Value::Array(roles))]);
                let mut acts = vec![Act::Update { target: Target::Id(person.id), fields, owner: None, expect: None }];
                if person.state != "active" {
                    acts.push(Act::Transition {
                        target: Target::Id(person.id),
                        name: "enable".into(),
                        fields: Map::new(),
                        note: None,
                        expect: None,
                    });
                }
                kernel.acts(&session, acts, None).await.map_err(told)?;
            }
        }
        Ok(())
    }
}

/// What classes look like, for policies on reading.
pub struct Known(pub Arc<OnceLock<Kernel>>);

impl access::Classes for Known {
    fn verb(&self, kind: &Kind) -> Option<&'static str> {
        self.0.get().and_then(|k| k.registry().verb(kind))
    }
    fn column(&self, kind: &Kind, field: &str) -> Option<Column> {
        self.0.get().and_then(|k| k.registry().column(kind, field))
    }
}

/// Roles that every Mainstay begins with: the roles of the duties, an administrator and a reader.
const ROLES: [(&str, &str, &str); 20] = [
    ("admin", "Administrator", "May do everything."),
    ("read-only", "Reader", "May read everything of operations, and change nothing."),
    ("implementation", "Implementation", "Installs and configures at the customer's site, trains, hands over."),
    ("system", "System", "Keeps servers, storage, networks and base services."),
    ("desktop", "Desktop", "Keeps workplaces, printers and telephones."),
    ("pre-sale", "Pre-sale", "Answers technical questions, sizes, proposes."),
    ("application", "Application", "Keeps applications, their changes and their recovery."),
    ("database", "Database", "Keeps databases, their schemas and their recovery."),
    ("automation", "Automation", "Writes and keeps runbooks and desired state."),
    ("devops", "DevOps", "Delivers software, fast and stable."),
    ("big-data", "Big data", "Keeps data platforms and their pipelines."),
    ("security", "Security", "Hardens, scans, answers security incidents."),
    ("cloud", "Cloud", "Keeps what runs at cloud providers."),
    ("low-voltage", "Low-voltage", "Keeps rooms, power, cooling, access control and cameras."),
    ("network-engineer", "Network engineer", "Keeps networks, firewalls and their configurations."),
    ("help-desk", "Help desk", "Gives the first answer and follows up."),
    ("security-analyst", "Security analyst", "Watches, reviews access, assesses risk."),
    ("operations-manager", "Operations manager", "Answers for services, people, promises and cost."),
    ("supplier", "Supplier", "Does the contracted part of the work, and sees only that."),
    ("customer", "Customer", "Asks, follows, judges."),
];

/// Makes the roles that are missing; a role that somebody has changed or deleted stays as it is.
///
/// # Errors
/// What the kernel refuses.
pub async fn standard_roles(kernel: &Kernel) -> Result<(), ActError> {
    let session = Session::system(TenantId::HOME);
    let mut acts = Vec::new();
    for (key, name, help) in ROLES {
        if kernel.backend().by_key(TenantId::HOME, key).await?.is_none() {
            acts.push(Create::of("role", json!({"name": name, "help": help})).keyed(key).into());
        }
    }
    if kernel.backend().by_key(TenantId::HOME, "internal").await?.is_none() {
        acts.push(Create::of("tenant", json!({"name": "This organisation"})).keyed("internal").into());
    }
    if !acts.is_empty() {
        kernel.acts(&session, acts, None).await?;
    }
    Ok(())
}
