//! From policies on reading to a predicate for lists: each condition is evaluated as far as it is known who asks and for which
//! class; what depends on the record stays as a [`Predicate`].
//!
//! Only what has a meaning in the store is allowed in such policies: comparing attributes of the record with texts, `has`,
//! `contains`, and, or, not, if. A policy with anything else is refused when it is loaded, by name; should one
//! slip through, a permit counts as nothing and a forbid as everything.

use cedar_policy::pst::{
    BinaryOp, Clause, Effect, EntityOrSlot, EntityUID, Expr, Literal, Policy as Tree, PrincipalConstraint,
    ResourceConstraint, Template, UnaryOp, Var,
};
use cedar_policy::{ActionConstraint, EntityUid};
use kernel::Kind;
use kernel::query::{Column, Operand, Predicate};

use super::{Classes, FIELDS, Who, lens};

/// A policy that has something to say on reading.
pub(super) struct ReadPolicy {
    body: Template,
}

/// Who looks at which class.
pub(super) struct View<'a> {
    pub who: &'a Who,
    pub kind: &'a Kind,
    pub verb: &'a str,
    pub classes: &'a dyn Classes,
}

/// An expression, as far as it is known.
#[derive(Clone, Debug)]
enum Part {
    Bool(bool),
    Text(String),
    Number(i64),
    Entity(String, String),
    Set(Vec<Part>),
    Principal,
    Resource,
    Context,
    /// An attribute of the record.
    Column(Column),
    /// A condition on the record.
    Test(Predicate),
    /// An attribute that records of this class do not have.
    Absent,
}

/// Something that has no meaning in the store.
struct Unknown(String);

type Known = Result<Part, Unknown>;

impl ReadPolicy {
    /// The policy, if it applies to reading.
    pub fn of(policy: &cedar_policy::Policy) -> Result<Option<Self>, String> {
        let is_read = |action: &EntityUid| action.id().unescaped() == "read";
        let applies = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(action) => is_read(&action),
            ActionConstraint::In(actions) => actions.iter().any(is_read),
        };
        if !applies {
            return Ok(None);
        }
        let tree: Tree = policy.to_pst().map_err(|e| e.to_string())?;
        let body = tree.body().clone();
        for clause in body.clauses() {
            let (Clause::When(expr) | Clause::Unless(expr)) = clause;
            allowed(expr).map_err(|what| {
                format!("{what} cannot be asked of the store, and this policy applies to reading: use ==, !=, has, contains, in, is, &&, ||, ! and if on attributes, or name the actions other than read")
            })?;
        }
        Ok(Some(Self { body }))
    }

    fn apply(&self, view: &View<'_>) -> Result<Predicate, Unknown> {
        let principal = match &self.body.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(entity) => entity_of(entity).is_some_and(|e| view.is_principal(e)),
            PrincipalConstraint::In(entity) => entity_of(entity).is_some_and(|e| view.principal_in(e)),
            PrincipalConstraint::Is(kind) => kind.to_string() == view.who.kind,
            PrincipalConstraint::IsIn(kind, entity) => {
                kind.to_string() == view.who.kind && entity_of(entity).is_some_and(|e| view.principal_in(e))
            }
        };
        let resource = match &self.body.resource {
            ResourceConstraint::Any => All,
            ResourceConstraint::Is(kind) => truth(kind.to_string() == "Record"),
            ResourceConstraint::Eq(entity) | ResourceConstraint::In(entity) | ResourceConstraint::IsIn(_, entity) => {
                entity_of(entity).map_or(
                    none(),
                    |(kind, key)| if kind == "Record" { one_of(Column::Key, vec![key]) } else { none() },
                )
            }
        };
        if !principal {
            return Ok(none());
        }
        let mut predicate = resource;
        for clause in self.body.clauses() {
            let test = match clause {
                Clause::When(expr) => test(view.eval(expr)?)?,
                Clause::Unless(expr) => not(test(view.eval(expr)?)?),
            };
            predicate = and(predicate, test);
            if is_none(&predicate) {
                break;
            }
        }
        Ok(predicate)
    }
}

use Predicate::All;

/// What may be read: allowed by a permit and not refused by a forbid. `None`: nothing.
pub(super) fn readable(policies: &[ReadPolicy], view: &View<'_>) -> Option<Predicate> {
    let (mut permitted, mut forbidden) = (none(), none());
    for policy in policies {
        let applied = policy.apply(view);
        match (policy.body.effect, applied) {
            (Effect::Permit, Ok(predicate)) => permitted = or(permitted, predicate),
            (Effect::Forbid, Ok(predicate)) => forbidden = or(forbidden, predicate),
            (Effect::Permit, Err(Unknown(what))) => {
                tracing::error!(policy = %policy.body.id, what, "a permit on reading could not be compiled and does not count")
            }
            (Effect::Forbid, Err(Unknown(what))) => {
                tracing::error!(policy = %policy.body.id, what, "a forbid on reading could not be compiled and counts as a whole");
                return None;
            }
        }
    }
    let predicate = and(permitted, not(forbidden));
    if is_none(&predicate) { None } else { Some(predicate) }
}

impl View<'_> {
    fn eval(&self, expr: &Expr) -> Known {
        Ok(match expr {
            Expr::Literal(Literal::Bool(b)) => Part::Bool(*b),
            Expr::Literal(Literal::Long(n)) => Part::Number(*n),
            Expr::Literal(Literal::String(s)) => Part::Text(s.to_string()),
            Expr::Literal(Literal::EntityUID(uid)) => entity(uid),
            Expr::Var(Var::Principal) => Part::Principal,
            Expr::Var(Var::Resource) => Part::Resource,
            Expr::Var(Var::Context) => Part::Context,
            Expr::Var(Var::Action) => Part::Entity("Action".into(), "read".into()),
            Expr::Set(items) => Part::Set(items.iter().map(|i| self.eval(i)).collect::<Result<_, _>>()?),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => from_test(not(test(self.eval(expr)?)?)),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right)?,
            Expr::GetAttr { expr, attr } => self.attribute(&self.eval(expr)?, attr)?,
            Expr::HasAttr { expr, attrs } if attrs.len() == 1 => {
                match self.attribute(&self.eval(expr)?, attrs.first())? {
                    Part::Absent => Part::Bool(false),
                    Part::Column(column) if is_optional(&column) => Part::Test(Predicate::Present(column)),
                    _ => Part::Bool(true),
                }
            }
            Expr::Is { expr, entity_type, in_expr: None } => Part::Bool(match self.eval(expr)? {
                Part::Principal => entity_type.to_string() == self.who.kind,
                Part::Resource => entity_type.to_string() == "Record",
                _ => return unknown("`is` on something else than principal and resource"),
            }),
            Expr::IfThenElse { cond, then_expr, else_expr } => match test(self.eval(cond)?)? {
                All => self.eval(then_expr)?,
                no if is_none(&no) => self.eval(else_expr)?,
                cond => {
                    let (yes, other) = (test(self.eval(then_expr)?)?, test(self.eval(else_expr)?)?);
                    from_test(or(and(cond.clone(), yes), and(not(cond), other)))
                }
            },
            _ => return unknown("this expression"),
        })
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Known {
        let left = self.eval(left)?;
        // The right side of && and || is looked at only where the left leaves it open: there an absent attribute may stand.
        match op {
            BinaryOp::And => {
                let left = test(left)?;
                return Ok(from_test(if is_none(&left) { left } else { and(left, test(self.eval(right)?)?) }));
            }
            BinaryOp::Or => {
                let left = test(left)?;
                return Ok(from_test(if left == All { left } else { or(left, test(self.eval(right)?)?) }));
            }
            _ => {}
        }
        let right = self.eval(right)?;
        match op {
            BinaryOp::Eq => equal(left, right),
            BinaryOp::NotEq => Ok(from_test(not(test(equal(left, right)?)?))),
            BinaryOp::Contains => match left {
                Part::Set(items) => {
                    let mut any = none();
                    for item in items {
                        any = or(any, test(equal(item, right.clone())?)?);
                    }
                    Ok(from_test(any))
                }
                Part::Column(list) => match right {
                    Part::Text(text) => Ok(Part::Test(Predicate::Contains(list, vec![Operand::Text(text)]))),
                    _ => unknown("`contains` of something that is not fixed"),
                },
                _ => unknown("`contains` of something else than a set"),
            },
            BinaryOp::In => {
                let groups = if let Part::Set(groups) = right { groups } else { vec![right] };
                let mut within = false;
                for group in groups {
                    let Part::Entity(kind, id) = group else {
                        return unknown("`in` something else than a role or an action");
                    };
                    within |= match &left {
                        Part::Principal => self.principal_in((kind, id)),
                        Part::Entity(k, i) => *k == kind && *i == id,
                        _ => return unknown("`in` of something else than principal and action"),
                    };
                }
                Ok(Part::Bool(within))
            }
            _ => unknown("this operator"),
        }
    }

    fn attribute(&self, of: &Part, name: &str) -> Known {
        Ok(match (of, name) {
            (Part::Principal, "me") => Part::Text(self.who.me.clone()),
            (Part::Principal, "key") => Part::Text(self.who.key.clone()),
            // A question to the store is always asked of one tenant.
            (Part::Principal | Part::Resource, "tenant") => Part::Number(self.who.tenant.0),
            (Part::Context, "step") => Part::Text(String::new()),
            (Part::Resource, "class") => Part::Text(self.kind.as_str().to_owned()),
            (Part::Resource, "verb") => Part::Text(self.verb.to_owned()),
            (Part::Resource, "key") => Part::Column(Column::Key),
            (Part::Resource, "state") => Part::Column(Column::State),
            (Part::Resource, "open") => Part::Column(Column::Open),
            (Part::Resource, field) if FIELDS.contains(&field) => {
                lens(self.classes, self.kind, field).map_or(Part::Absent, Part::Column)
            }
            _ => return unknown("this attribute"),
        })
    }

    fn is_principal(&self, (kind, id): (String, String)) -> bool {
        kind == self.who.kind && id == self.who.key
    }

    fn principal_in(&self, (kind, id): (String, String)) -> bool {
        (kind == "Role" && self.who.roles.contains(&id)) || self.is_principal((kind, id))
    }
}

fn equal(left: Part, right: Part) -> Known {
    Ok(match (left, right) {
        (Part::Column(column), Part::Text(text)) | (Part::Text(text), Part::Column(column)) => {
            Part::Test(one_of(column, vec![text]))
        }
        (Part::Text(a), Part::Text(b)) => Part::Bool(a == b),
        (Part::Number(a), Part::Number(b)) => Part::Bool(a == b),
        (Part::Entity(a, i), Part::Entity(b, j)) => Part::Bool(a == b && i == j),
        // Two conditions, or a truth value and a condition.
        (a, b) => from_test(iff(test(a)?, test(b)?)),
    })
}

/// A part as a condition.
fn test(part: Part) -> Result<Predicate, Unknown> {
    match part {
        Part::Bool(b) => Ok(truth(b)),
        Part::Test(predicate) => Ok(predicate),
        Part::Column(column) => Ok(Predicate::In(column, vec![Operand::Bool(true)])),
        _ => Err(Unknown("a value where a condition is needed".into())),
    }
}

fn from_test(predicate: Predicate) -> Part {
    match predicate {
        All => Part::Bool(true),
        no if is_none(&no) => Part::Bool(false),
        predicate => Part::Test(predicate),
    }
}

fn unknown<T>(what: &str) -> Result<T, Unknown> {
    Err(Unknown(what.to_owned()))
}

fn truth(b: bool) -> Predicate {
    if b { All } else { none() }
}

fn none() -> Predicate {
    Predicate::Or(Vec::new())
}

fn is_none(predicate: &Predicate) -> bool {
    matches!(predicate, Predicate::Or(any) if any.is_empty())
}

fn one_of(column: Column, values: Vec<String>) -> Predicate {
    Predicate::In(column, values.into_iter().map(Operand::Text).collect())
}

fn and(a: Predicate, b: Predicate) -> Predicate {
    if is_none(&a) || is_none(&b) { none() } else { a.and(b) }
}

fn or(a: Predicate, b: Predicate) -> Predicate {
    match (a, b) {
        (All, _) | (_, All) => All,
        // Several values of one column are one question.
        (Predicate::In(c, mut values), Predicate::In(d, more)) if c == d => {
            values.extend(more);
            Predicate::In(c, values)
        }
        (Predicate::Or(mut any), Predicate::Or(more)) => {
            any.extend(more);
            Predicate::Or(any)
        }
        (Predicate::Or(any), p) | (p, Predicate::Or(any)) if any.is_empty() => p,
        (Predicate::Or(mut any), p) | (p, Predicate::Or(mut any)) => {
            any.push(p);
            Predicate::Or(any)
        }
        (p, q) => Predicate::Or(vec![p, q]),
    }
}

fn not(predicate: Predicate) -> Predicate {
    match predicate {
        All => none(),
        Predicate::Not(inner) => *inner,
        predicate if is_none(&predicate) => All,
        predicate => Predicate::Not(Box::new(predicate)),
    }
}

fn iff(a: Predicate, b: Predicate) -> Predicate {
    or(and(a.clone(), b.clone()), and(not(a), not(b)))
}

fn entity(uid: &EntityUID) -> Part {
    Part::Entity(uid.ty.to_string(), uid.eid.to_string())
}

fn entity_of(entity: &EntityOrSlot) -> Option<(String, String)> {
    match entity {
        EntityOrSlot::Entity(uid) => Some((uid.ty.to_string(), uid.eid.to_string())),
        EntityOrSlot::Slot(_) => None,
    }
}

fn is_optional(column: &Column) -> bool {
    matches!(column, Column::Owner | Column::Field { .. })
}

/// Whether the store can answer an expression, whoever asks; the offending part if not.
fn allowed(expr: &Expr) -> Result<(), &'static str> {
    let column = |e: &Expr| matches!(e, Expr::GetAttr { expr, attr } if matches!(&**expr, Expr::Var(Var::Resource)) && !["class", "verb", "tenant"].contains(&attr.as_str()));
    match expr {
        Expr::Literal(_) | Expr::Var(_) => Ok(()),
        Expr::Set(items) => items
            .iter()
            .try_for_each(|i| if column(i) { Err("a set with attributes of the record") } else { allowed(i) }),
        Expr::UnaryOp { op: UnaryOp::Not, expr }
        | Expr::GetAttr { expr, .. }
        | Expr::Is { expr, in_expr: None, .. } => allowed(expr),
        Expr::HasAttr { expr, attrs } if attrs.len() == 1 => allowed(expr),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().try_for_each(|e| allowed(e))
        }
        Expr::BinaryOp { op: BinaryOp::Eq | BinaryOp::NotEq, left, right } if column(left) && column(right) => {
            Err("comparing two attributes of the record")
        }
        Expr::BinaryOp { op: BinaryOp::In, left, .. }
            if !matches!(&**left, Expr::Var(Var::Principal | Var::Action)) =>
        {
            Err("`in` of something else than principal and action")
        }
        Expr::BinaryOp { op: BinaryOp::Eq | BinaryOp::NotEq, left, right }
            if [left, right].into_iter().any(|e| matches!(&**e, Expr::Var(Var::Principal | Var::Resource))) =>
        {
            Err("comparing principal or resource as a whole")
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } if column(left) && column(right) => {
            Err("comparing two attributes of the record")
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, .. } if !column(left) && !matches!(&**left, Expr::Set(_)) => {
            Err("`contains` of something else than a set")
        }
        Expr::BinaryOp {
            op: BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::And | BinaryOp::Or | BinaryOp::Contains | BinaryOp::In,
            left,
            right,
        } => allowed(left).and_then(|()| allowed(right)),
        Expr::Like { .. } => Err("`like`"),
        _ => Err("this operator"),
    }
}
