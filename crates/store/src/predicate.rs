//! A predicate as SQL, with every value bound. Nothing that came from outside ever becomes text of a statement.
//!
//! Nulls: a comparison with a missing value is false, and its negation true, as in the kernel's own evaluation; so under a `Not`
//! every leaf is made two-valued. Outside of it leaves stay bare, since an index cannot see through a `coalesce`.

use kernel::ids::TenantId;
use kernel::query::{Column, Compare, Operand, Predicate};

use crate::columns::{Gives, equal_expression, gives, is_bool, list_elements};
use crate::conn::{Dialect, Val};
use crate::layout::{ClassTable, Classes};
use crate::words;

/// A statement in the making.
pub(crate) struct Sql<'c> {
    pub(crate) text: String,
    pub(crate) args: Vec<Val<'static>>,
    dialect: Dialect,
    classes: &'c Classes,
    tenant: TenantId,
    aliases: usize,
}

impl<'c> Sql<'c> {
    pub(crate) fn new(start: &str, dialect: Dialect, classes: &'c Classes, tenant: TenantId) -> Self {
        Self { text: start.to_owned(), args: Vec::new(), dialect, classes, tenant, aliases: 0 }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Binds a value and writes its mark.
    pub(crate) fn bind(&mut self, value: impl Into<Val<'static>>) {
        self.args.push(value.into());
        self.text.push_str(&format!("?{}", self.args.len()));
    }

    /// Records of the tenant that are not deleted and match, of the table known as `alias` (with its dot).
    pub(crate) fn live(&mut self, alias: &str, predicate: &Predicate) {
        self.push(&format!("{alias}tenant = "));
        self.bind(self.tenant);
        self.push(&format!(" AND {alias}deleted = 0"));
        if *predicate != Predicate::All {
            self.push(" AND ");
            self.predicate(predicate, alias, false);
        }
    }

    fn never(&mut self) {
        self.push("FALSE");
    }

    fn predicate(&mut self, predicate: &Predicate, alias: &str, negated: bool) {
        match predicate {
            Predicate::All => self.push("TRUE"),
            Predicate::And(parts) => self.joined(parts, " AND ", "TRUE", alias, negated),
            Predicate::Or(parts) => self.joined(parts, " OR ", "FALSE", alias, negated),
            Predicate::Not(inner) => {
                self.push("NOT (");
                self.predicate(inner, alias, true);
                self.push(")");
            }
            leaf if negated => {
                self.push("coalesce(");
                self.leaf(leaf, alias);
                self.push(", FALSE)");
            }
            leaf => self.leaf(leaf, alias),
        }
    }

    fn joined(&mut self, parts: &[Predicate], word: &str, empty: &str, alias: &str, negated: bool) {
        if parts.is_empty() {
            return self.push(empty);
        }
        self.push("(");
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.push(word);
            }
            self.predicate(part, alias, negated);
        }
        self.push(")");
    }

    fn leaf(&mut self, leaf: &Predicate, alias: &str) {
        match leaf {
            Predicate::In(column, operands) => self.one_of(column, operands, alias),
            Predicate::Like(column, pattern) => self.like(column, pattern, alias),
            Predicate::Cmp(column, compare, operand) => self.compare(column, *compare, operand, alias),
            Predicate::Present(column) => self.present(column, alias),
            Predicate::Contains(column, operands) => self.contains(column, operands, alias),
            Predicate::Linked { name, out, kinds, inner } => self.linked(name.as_deref(), *out, kinds, inner, alias),
            Predicate::Words(all) => {
                self.args.push(Val::from(words::question(
                    self.dialect,
                    &[words::tenant_word(self.tenant)],
                    all,
                    words::LastWord::Beginning,
                )));
                let mark = format!("?{}", self.args.len());
                self.push(&format!("{alias}num IN ({})", words::matching(self.dialect, &mark)));
            }
            Predicate::Ids(ids) => {
                self.push(&format!("{alias}num IN (SELECT h.num FROM record h WHERE h.tenant = "));
                self.bind(self.tenant);
                self.push(" AND h.id IN (");
                self.list(ids.iter().map(|id| Val::from(*id)).collect());
                self.push("))");
            }
            Predicate::All | Predicate::And(_) | Predicate::Or(_) | Predicate::Not(_) => self.never(),
        }
    }

    fn list(&mut self, values: Vec<Val<'static>>) {
        if values.is_empty() {
            return self.push("NULL");
        }
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
    }

    fn one_of(&mut self, column: &Column, operands: &[Operand], alias: &str) {
        let Some(expression) = equal_expression(column, alias, self.dialect) else { return self.never() };
        let mut values: Vec<Val<'static>> = operands.iter().filter_map(|o| comparable(column, o)).collect();
        if values.is_empty() {
            return self.never();
        }
        match column {
            Column::Key => {
                self.push(&format!("{alias}num IN (SELECT h.num FROM record h WHERE h.tenant = "));
                self.bind(self.tenant);
                self.push(" AND h.key IN (");
                self.list(values);
                self.push("))");
            }
            Column::Title => {
                for value in &mut values {
                    if let Val::Text(text) = value {
                        *value = Val::from(text.to_lowercase());
                    }
                }
                self.push(&format!("{} IN (", self.dialect.lower(&expression)));
                self.list(values);
                self.push(")");
            }
            _ if values.len() == 1 => {
                self.push(&format!("{expression} = "));
                self.list(values);
            }
            _ => {
                self.push(&format!("{expression} IN ("));
                self.list(values);
                self.push(")");
            }
        }
    }

    fn like(&mut self, column: &Column, pattern: &str, alias: &str) {
        let Some(expression) = equal_expression(column, alias, self.dialect).filter(|_| gives(column) == Gives::Text)
        else {
            return self.never();
        };
        self.push(&format!("{} LIKE ", self.dialect.lower(&expression)));
        self.bind(like_pattern(pattern));
        self.push(" ESCAPE '!'");
    }

    fn compare(&mut self, column: &Column, compare: Compare, operand: &Operand, alias: &str) {
        let sign = match compare {
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Gt => ">",
            Compare::Ge => ">=",
        };
        match (equal_expression(column, alias, self.dialect), operand) {
            // A fraction against whole numbers: compared as numbers, without an index.
            (Some(expression), Operand::Float(n)) if gives(column) == Gives::Int => {
                self.push(&format!("CAST({expression} AS DOUBLE PRECISION) {sign} CAST("));
                self.bind(*n);
                self.push(" AS DOUBLE PRECISION)");
            }
            (Some(expression), operand) => match comparable(column, operand) {
                Some(value) => {
                    self.push(&format!("{expression} {sign} "));
                    self.bind(value);
                }
                None => self.never(),
            },
            (None, _) => self.never(),
        }
    }

    fn present(&mut self, column: &Column, alias: &str) {
        match (equal_expression(column, alias, self.dialect), column) {
            (Some(expression), _) => self.push(&format!("{expression} IS NOT NULL")),
            (None, Column::Field { path, .. }) => {
                // Lists, maps and groups: there when the text of the field is.
                let as_text = Column::Field { path: path.clone(), word: kernel::shape::Word::Text, indexed: false };
                match equal_expression(&as_text, alias, self.dialect) {
                    Some(expression) => self.push(&format!("{expression} IS NOT NULL")),
                    None => self.never(),
                }
            }
            _ => self.never(),
        }
    }

    fn contains(&mut self, column: &Column, operands: &[Operand], alias: &str) {
        let Column::Field { path, .. } = column else { return self.never() };
        let Some(elements) = list_elements(path, alias, self.dialect) else { return self.never() };
        let values: Vec<Val<'static>> = operands
            .iter()
            .map(|o| match (o, self.dialect) {
                (Operand::Text(t), _) => Val::from(t.clone()),
                (Operand::Int(n), Dialect::Sqlite) => Val::Int(*n),
                (Operand::Float(n), Dialect::Sqlite) => Val::Real(*n),
                (Operand::Bool(b), Dialect::Sqlite) => Val::from(*b),
                (Operand::Int(n), Dialect::Postgres) => Val::from(n.to_string()),
                (Operand::Float(n), Dialect::Postgres) => Val::from(n.to_string()),
                (Operand::Bool(b), Dialect::Postgres) => Val::from(b.to_string()),
            })
            .collect();
        self.push(&format!("EXISTS (SELECT 1 FROM {elements} WHERE e.value IN ("));
        self.list(values);
        self.push("))");
    }

    fn linked(&mut self, name: Option<&str>, out: bool, kinds: &[kernel::ids::Kind], inner: &Predicate, alias: &str) {
        self.aliases += 1;
        let (l, h, o) = (format!("l{}", self.aliases), format!("h{}", self.aliases), format!("o{}", self.aliases));
        let (near, far) = if out { ("from_id", "to_id") } else { ("to_id", "from_id") };
        self.push(&format!("EXISTS (SELECT 1 FROM link {l} JOIN record {h} ON {h}.id = {l}.{far} AND {h}.tenant = {l}.tenant WHERE {l}.tenant = "));
        self.bind(self.tenant);
        self.push(&format!(" AND {l}.{near} = {alias}id"));
        if let Some(name) = name {
            self.push(&format!(" AND {l}.type = "));
            self.bind(name.to_owned());
        }
        self.push(&format!(" AND {h}.deleted = 0"));
        if !kinds.is_empty() {
            self.push(&format!(" AND {h}.kind IN ("));
            self.list(kinds.iter().map(|k| Val::from(k.as_str().to_owned())).collect());
            self.push(")");
        }
        if *inner != Predicate::All {
            let classes = self.classes;
            let targets: Vec<&ClassTable> =
                classes.values().map(|c| &**c).filter(|c| kinds.is_empty() || kinds.contains(&c.kind)).collect();
            self.push(" AND (FALSE");
            for class in targets {
                self.push(&format!(" OR EXISTS (SELECT 1 FROM {} {o} WHERE {o}.num = {h}.num AND ", class.name));
                self.live(&format!("{o}."), inner);
                self.push(")");
            }
            self.push(")");
        }
        self.push(")");
    }
}

/// The operand as the column's expression gives values; `None` when no value of the column could equal it.
fn comparable(column: &Column, operand: &Operand) -> Option<Val<'static>> {
    match (gives(column), operand) {
        (Gives::Text, Operand::Text(t)) => Some(Val::from(t.clone())),
        (Gives::Int, Operand::Bool(b)) if is_bool(column) => Some(Val::from(*b)),
        (Gives::Int, Operand::Int(n)) if !is_bool(column) => Some(Val::Int(*n)),
        (Gives::Int, Operand::Float(n)) if n.fract() == 0.0 && n.abs() < 9e15 && !is_bool(column) => {
            Some(Val::Int(*n as i64))
        }
        (Gives::Real, Operand::Float(n)) => Some(Val::Real(*n)),
        (Gives::Real, Operand::Int(n)) => Some(Val::Real(*n as f64)),
        _ => None,
    }
}

/// `*` for any text becomes a `LIKE` pattern whose escape is `!`.
pub(crate) fn like_pattern(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len() + 4);
    for c in pattern.to_lowercase().chars() {
        match c {
            '*' => like.push('%'),
            '%' | '_' | '!' => {
                like.push('!');
                like.push(c);
            }
            _ => like.push(c),
        }
    }
    like
}
