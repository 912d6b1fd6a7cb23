//! The floats of a series in an answer. An answer to a range has a value at nearly every step, so its times need not be kept: half
//! the memory of a wide one.

use crate::labels::is_stale;

/// Unix milliseconds and floats, rising in time.
#[derive(Clone, Debug)]
pub struct Floats(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Listed(Vec<(i64, f64)>),
    /// One a step, the stale marker where there is none.
    Stepped {
        start_ms: i64,
        step_ms: i64,
        values: Vec<f64>,
        present: usize,
    },
}

impl Floats {
    /// A value a step, from `start_ms`; the stale marker stands for none.
    pub(super) fn stepped(start_ms: i64, step_ms: i64, values: Vec<f64>) -> Self {
        let present = values.iter().filter(|value| !is_stale(**value)).count();
        Self(Kept::Stepped { start_ms, step_ms, values, present })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Listed(all) => all.len(),
            Kept::Stepped { present, .. } => *present,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them as a list.
    pub fn into_vec(self) -> Vec<(i64, f64)> {
        match self.0 {
            Kept::Listed(all) => all,
            Kept::Stepped { .. } => self.iter().collect(),
        }
    }

    /// Each with its time.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let (listed, start_ms, step_ms, values): (&[(i64, f64)], i64, i64, &[f64]) = match &self.0 {
            Kept::Listed(all) => (all, 0, 0, &[]),
            Kept::Stepped { start_ms, step_ms, values, .. } => (&[], *start_ms, *step_ms, values),
        };
        let stepped = values.iter().enumerate().filter(|(_, value)| !is_stale(**value));
        let at = move |step: usize| start_ms.saturating_add(step_ms.saturating_mul(step as i64));
        listed.iter().copied().chain(stepped.map(move |(step, value)| (at(step), *value)))
    }
}

impl From<Vec<(i64, f64)>> for Floats {
    fn from(all: Vec<(i64, f64)>) -> Self {
        Self(Kept::Listed(all))
    }
}

impl Default for Floats {
    fn default() -> Self {
        Vec::new().into()
    }
}

/// However they are kept.
impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::stale_marker;

    #[test]
    fn floats_are_the_same_however_they_are_kept() {
        let gone = stale_marker();
        for (values, listed) in [
            (vec![], vec![]),
            (vec![gone, gone], vec![]),
            (vec![1.5, gone, -0.0, gone], vec![(-10, 1.5), (20, -0.0)]),
            (vec![gone, f64::INFINITY], vec![(5, f64::INFINITY)]),
        ] {
            let stepped = Floats::stepped(-10, 15, values);
            assert_eq!(stepped.iter().collect::<Vec<_>>(), listed);
            assert_eq!((stepped.len(), stepped.is_empty()), (listed.len(), listed.is_empty()));
            assert_eq!(stepped, Floats::from(listed.clone()));
            assert_eq!((stepped.into_vec(), Floats::from(listed.clone()).into_vec()), (listed.clone(), listed));
        }
        assert_eq!(Floats::stepped(0, 1, vec![f64::NAN]).len(), 1, "no number is a value");
    }
}
