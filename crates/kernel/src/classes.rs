//! Users' classes, live: reads them from records of class `class` and makes the registry fit, without a restart.

use crate::act::Kernel;
use crate::class::ClassDef;
use crate::error::{ActError, FieldError};
use crate::ids::{Kind, TenantId};
use crate::query::{Column, Predicate, Query, SortKey};
use crate::record::Record;
use crate::userclass;

/// Most classes that users can define.
const MAX_CLASSES: usize = 500;

impl Kernel {
    /// Makes the registry, and the store's indexes, fit the class records that stand.
    ///
    /// # Errors
    /// What does not fit together; the registry stays as it was then.
    pub async fn reload_classes(&self) -> Result<(), ActError> {
        let defs = self.user_classes(None).await?;
        self.registry().replace_user_classes(defs).map_err(refused)?;
        self.backend().fit(&self.registry().classes()).await?;
        Ok(())
    }

    /// Refuses a class record that would not fit with the others.
    pub(crate) async fn check_class(&self, changed: &Record) -> Result<(), ActError> {
        if changed.tenant != TenantId::HOME {
            return Err(ActError::Conflict(
                "classes are defined by the organisation that runs Mainstay, not in a tenant".into(),
            ));
        }
        if changed.deleted {
            let kind = Kind::new(&changed.key);
            if self.registry().class(&changed.key).is_some()
                && self.backend().total(TenantId::HOME, &kind, &Predicate::All, 1).await?.at_least > 0
            {
                return Err(ActError::Conflict(format!(
                    "class {} cannot be deleted: it has records; delete those first",
                    changed.key
                )));
            }
        }
        let defs = self.user_classes(Some(changed)).await?;
        self.registry().check_user_classes(&defs).map_err(refused)
    }

    async fn user_classes(&self, changed: Option<&Record>) -> Result<Vec<ClassDef>, ActError> {
        let query = Query {
            kind: Kind::new("class"),
            predicate: Predicate::All,
            sort: SortKey { column: Column::Created, descending: false },
            limit: MAX_CLASSES,
            after: None,
        };
        let mut records = self.backend().page(TenantId::HOME, &query).await?.records;
        if let Some(changed) = changed {
            records.retain(|r| r.id != changed.id);
            if !changed.deleted {
                records.push(changed.clone());
            }
        }
        let mut defs = Vec::new();
        for record in records {
            let mut document = record.get("definition").cloned().unwrap_or_default();
            if let (Some(title), Some(object)) = (record.get("title"), document.as_object_mut()) {
                object.entry("title").or_insert_with(|| title.clone());
            }
            defs.push(userclass::define(&record.key, &document).map_err(refused)?);
        }
        Ok(defs)
    }
}

fn refused(why: Vec<String>) -> ActError {
    ActError::Invalid(why.into_iter().map(|w| FieldError::new("definition", w)).collect())
}
