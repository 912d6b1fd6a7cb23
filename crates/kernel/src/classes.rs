//! Users' classes, live: reads them from records of class `class` and makes the registry fit, without a restart.

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::act::Kernel;
use crate::class::{ClassDef, ClassRef};
use crate::error::{ActError, FieldError};
use crate::ids::{Kind, TenantId};
use crate::query::{Column, Predicate, Query, SortKey};
use crate::record::Record;
use crate::session::Session;
use crate::userclass;

/// Most classes that users can define.
const MAX_CLASSES: usize = 500;

impl Kernel {
    /// Makes the registry, and the store's indexes, fit the class records that stand.
    ///
    /// # Errors
    /// What does not fit together; the registry stays as it was then.
    pub async fn reload_classes(&self) -> Result<(), ActError> {
        let defs = defined(&self.definitions().await?)?;
        self.registry().replace_user_classes(defs).map_err(refused)?;
        self.backend().fit(&self.registry().classes()).await?;
        Ok(())
    }

    /// Classes as they would be with these definitions (name, document), in the order given. Nothing is changed: a plan can so
    /// tell what would become of records whose class is yet to be made.
    ///
    /// # Errors
    /// What a commit of them would refuse: a document that is none, what does not fit with the other classes.
    pub async fn drafted_classes(
        &self,
        session: &Session,
        drafts: &[(String, Value)],
    ) -> Result<Vec<ClassRef>, ActError> {
        at_home(session.tenant())?;
        let mut documents = self.definitions().await?;
        documents.extend(drafts.iter().cloned());
        self.registry().check_user_classes(&defined(&documents)?).map_err(refused)?;
        drafts
            .iter()
            .map(|(name, document)| Ok(Arc::new(userclass::define(name, document).map_err(refused)?)))
            .collect()
    }

    /// Refuses class records that would not fit with the others, or with each other, once all of them stand.
    pub(crate) async fn check_classes(&self, changed: &[&Record]) -> Result<(), ActError> {
        let mut documents = self.definitions().await?;
        for record in changed {
            at_home(record.tenant)?;
            if record.deleted {
                self.has_no_records(&record.key).await?;
                documents.remove(&record.key);
            } else {
                documents.insert(record.key.clone(), document(record));
            }
        }
        self.registry().check_user_classes(&defined(&documents)?).map_err(refused)
    }

    async fn has_no_records(&self, class: &str) -> Result<(), ActError> {
        if self.registry().class(class).is_some()
            && self.backend().total(TenantId::HOME, &Kind::new(class), &Predicate::All, 1).await?.at_least > 0
        {
            return Err(ActError::Conflict(format!(
                "class {class} cannot be deleted: it has records; delete those first"
            )));
        }
        Ok(())
    }

    /// Documents of all class records by the name of the class.
    async fn definitions(&self) -> Result<BTreeMap<String, Value>, ActError> {
        let query = Query {
            kind: Kind::new("class"),
            predicate: Predicate::All,
            sort: SortKey { column: Column::Created, descending: false },
            limit: MAX_CLASSES,
            after: None,
        };
        let records = self.backend().page(TenantId::HOME, &query).await?.records;
        Ok(records.iter().map(|record| (record.key.clone(), document(record))).collect())
    }
}

fn at_home(tenant: TenantId) -> Result<(), ActError> {
    if tenant == TenantId::HOME {
        return Ok(());
    }
    Err(ActError::Conflict("classes are defined by the organisation that runs Mainstay, not in a tenant".into()))
}

/// The definition that a class record holds, with the record's own title where the definition has none.
fn document(record: &Record) -> Value {
    let mut document = record.get("definition").cloned().unwrap_or_default();
    if let (Some(title), Some(object)) = (record.get("title"), document.as_object_mut()) {
        object.entry("title").or_insert_with(|| title.clone());
    }
    document
}

fn defined(documents: &BTreeMap<String, Value>) -> Result<Vec<ClassDef>, ActError> {
    let (mut classes, mut wrong) = (Vec::new(), Vec::new());
    for (name, document) in documents {
        match userclass::define(name, document) {
            Ok(class) => classes.push(class),
            Err(why) => wrong.extend(why),
        }
    }
    if wrong.is_empty() { Ok(classes) } else { Err(refused(wrong)) }
}

fn refused(why: Vec<String>) -> ActError {
    ActError::Invalid(why.into_iter().map(|w| FieldError::new("definition", w)).collect())
}
