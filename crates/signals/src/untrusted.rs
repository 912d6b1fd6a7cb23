//! Every parser of this crate in one place, for fuzzing: whatever the bytes are, an answer or an error comes of them. Not for
//! anybody else.

use crate::asked::{Asked, duration, time};
use crate::batch::labelled;
use crate::import::{Faults, Form, read_text};
use crate::listen::Source;

/// Reads the bytes as all that a stranger may send: a query, a form, a gRPC frame, something packed, names and labels.
pub fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (form, query) = bytes.split_at(bytes.len() / 2);
    let asked = Asked::of(form, query);
    for name in ["time", "start", "end", "step", "timeout"] {
        let _ = (asked.time(name), asked.duration(name), asked.limit(name));
    }
    if let (Some(time), Some(duration)) = (time(&text), duration(&text)) {
        assert_eq!(time, duration, "a number of seconds is the same for both");
    }
    let _ = crate::selector::sets(asked.all("match[]").chain([text.as_ref()]));
    let _ = crate::selector::unescaped(&text);
    let _ = text.parse::<Source>();
    if let Ok((_, message)) = crate::grpc::frame(bytes) {
        assert_eq!(message.len() + 5, bytes.len(), "a frame is the whole body");
    }
    if let Ok(plain) = crate::intake::gunzip(bytes, 1 << 16) {
        assert!(plain.len() <= 1 << 16, "the limit holds");
    }
    let limits = series::formats::Limits { bytes: 1 << 16, series: 1_000, samples: 1_000, extras: 100 };
    let page = series::formats::exposition::decode(form, 0, limits);
    if let (Ok(batch), Ok(labels)) = (page, crate::push::extra_labels(&asked)) {
        let samples = batch.samples();
        if let Ok(batch) = labelled(batch, &labels) {
            assert_eq!(batch.samples(), samples, "labels take nothing away");
        }
    }
}

/// Reads the bytes as a file of samples of every text form.
pub fn import(bytes: &[u8]) {
    struct Nobody;
    impl crate::import::Sink for Nobody {
        fn row(&mut self, names: &crate::import::Names, row: crate::import::Row) -> std::io::Result<()> {
            assert!(!names.of(row.series).name().is_empty(), "a series has a name");
            Ok(())
        }
    }
    for form in [Form::Csv, Form::JsonLines, Form::OpenMetrics] {
        let mut faults = Faults::default();
        let read = read_text(form, bytes, &mut faults, &mut Nobody);
        assert!(read.is_ok(), "what is wrong with a file in memory is a fault of its");
    }
}
