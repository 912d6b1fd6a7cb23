//! Batches with labels added to every series.

use axum::http::StatusCode;
use series::Labels;
use series::formats::{Batch, Limits};

use crate::intake::Unfit;

/// The batch with labels added to every series; they replace those of the same name.
///
/// # Errors
/// A series that cannot be named so; nothing of the body counts then.
pub fn labelled(mut batch: Batch, labels: &[(String, String)]) -> Result<Batch, Unfit> {
    if labels.is_empty() {
        return Ok(batch);
    }
    let unfit = |e: series::LabelsError| Unfit::new(StatusCode::BAD_REQUEST, e.to_string());
    // What came in was within its limits; with a few labels more it is not refused.
    let mut out = Batch::new(Limits::NONE);
    for series in batch.series() {
        let own = series.labels.map_err(unfit)?;
        let kept = own.iter().filter(|(name, _)| !labels.iter().any(|(added, _)| added == name));
        let added = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        out.begin_series(&Labels::new(kept.chain(added)).map_err(unfit)?)?;
        for (at_ms, value) in series.points {
            out.point(*at_ms, *value)?;
        }
    }
    // Series keep their places, so what belongs to them still does.
    out.metadata = std::mem::take(&mut batch.metadata);
    out.exemplars = std::mem::take(&mut batch.exemplars);
    out.histograms = std::mem::take(&mut batch.histograms);
    out.rejected = std::mem::take(&mut batch.rejected);
    out.rejected_lines = batch.rejected_lines;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(batch: &Batch) -> Vec<(String, Vec<(i64, f64)>)> {
        let text = |labels: Labels| labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
        batch.series().map(|s| (text(s.labels.expect("labels")), s.points.to_vec())).collect()
    }

    #[test]
    fn added_labels_replace_those_of_the_same_name() {
        let page = b"# TYPE up gauge\nup{job=\"theirs\",a=\"b\"} 1 5\nload 2 5\n";
        let batch = series::formats::exposition::decode(page, 0, Limits::default()).expect("a page");
        let batch = labelled(batch, &[("job".into(), "ours".into()), ("z".into(), "1".into())]).expect("labels");
        assert_eq!(
            shown(&batch),
            [
                ("__name__=up,a=b,job=ours,z=1".to_owned(), vec![(5, 1.0)]),
                ("__name__=load,job=ours,z=1".to_owned(), vec![(5, 2.0)])
            ]
        );
        assert_eq!(batch.metadata.len(), 1);
        let again = series::formats::exposition::decode(page, 0, Limits::default()).expect("a page");
        assert!(labelled(again, &[("\n".into(), "x".into())]).is_err());
    }
}
