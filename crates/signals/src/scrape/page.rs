//! A page of a target, read against what was read before: a series whose text is known costs a comparison, and nothing of it is
//! copied.
//!
//! A text is taken apart by `series::formats` only when it is new, and what relabelling makes of it is kept with it; what a page
//! comes to is a [`sheet`]. Nothing here opens a socket or reads a clock. It must never take a part of a page that is wrong somewhere.

mod sheet;

mod families;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use series::formats::families::Buckets;
use series::formats::{Batch, Exemplar, FormatError, Limits, Metadata, exposition, openmetrics};
use series::{Labels, measured, stale_marker};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use sheet::Sheet;
pub use sheet::Tail;

/// Which format a page is in; its content type says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own in protocol buffers, and which buckets of histograms are taken from it.
    Families(Buckets),
}

impl Format {
    /// The format that a content type names; Prometheus's own when it names none.
    pub fn of_content_type(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/openmetrics-text" => Self::OpenMetrics,
            "application/vnd.google.protobuf" => Self::Families(Buckets::default()),
            _ => Self::Text,
        }
    }

    /// Some lines of a page of text.
    fn decode(self, page: &str) -> Result<Batch, FormatError> {
        match self {
            Self::Text | Self::Families(_) => exposition::decode(page.as_bytes(), 0, Limits::default()),
            Self::OpenMetrics => openmetrics::decode(page.as_bytes(), 0, Limits::default()),
        }
    }

    /// A line or some comments as a page.
    fn page_of(self, lines: &str) -> String {
        if self == Self::OpenMetrics { format!("{lines}\n# EOF\n") } else { format!("{lines}\n") }
    }
}

/// Why a page is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A line has no meaning.
    #[error("line {line}: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It is no text at that byte.
    #[error("the page is not UTF-8 at byte {at}")]
    NotText {
        /// From 0.
        at: usize,
    },
    /// It is no page of protocol buffers.
    #[error(transparent)]
    Families(FormatError),
    /// A series of a page without lines cannot be stored.
    #[error("series {number}: {reason}")]
    Series {
        /// From 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// It does not end as OpenMetrics must: it was cut short.
    #[error("the page does not end with # EOF")]
    CutShort,
    /// What is said of families has no meaning.
    #[error("{0}")]
    Comments(String),
    /// More samples are left after relabelling than the job allows.
    #[error("more than {limit} samples, which is the job's sample_limit")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
}

/// What is decided once for each series: its labels after relabelling as bytes, or nothing when it is dropped.
pub type Prepare<'a> = &'a dyn Fn(&Labels) -> Result<Option<Vec<u8>>, String>;

/// How a page is to be read.
pub struct Reading<'a> {
    /// Its format.
    pub format: Format,
    /// The time of samples without one of their own, Unix milliseconds.
    pub at_ms: i64,
    /// Whether a sample's own time is taken.
    pub own_times: bool,
    /// Samples that may be left after relabelling; 0: as many as there are.
    pub sample_limit: usize,
    /// Labels of a new series to bytes.
    pub prepare: Prepare<'a>,
}

/// What was on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub scraped: usize,
    /// Samples that relabelling left.
    pub kept: usize,
    /// Series that were not on the page before.
    pub added: usize,
}

struct Known {
    /// Where its text is among the cache's texts.
    text: Key,
    /// Where its labels are among the cache's names; none: dropped by relabelling.
    key: Option<Key>,
    /// The round in which it was seen last; 0 when its end has been told.
    seen: u64,
    /// The same before this round, to go back to when the page turns out to be wrong.
    seen_before: u64,
    /// Whether its end is told when it goes: not when it comes with times of its own.
    tracked: bool,
}

/// From and to, in bytes.
type Key = (u32, u32);

/// What is known of one target's series.
#[derive(Default)]
pub struct Cache {
    /// How the series are written on the page, one behind the other in the order in which they came first: a page in that order is
    /// held against memory that is read from front to back.
    texts: String,
    /// Labels of all series, one behind the other.
    names: Arc<Vec<u8>>,
    /// Where those of the tail are.
    tail: Vec<Key>,
    /// What the page that was read last comes to.
    sheet: Sheet,
    known: Vec<Known>,
    places: HashMap<u128, u32>,
    /// The places in the order of the page before.
    order: Vec<u32>,
    /// Samples of the page before, native histograms among them.
    here: usize,
    round: u64,
    comments: u64,
}

impl Cache {
    /// Reads a page. What it comes to is there to be [taken](Self::take): its samples, the ends of series that are gone, and what is
    /// said of families when that is new.
    ///
    /// # Errors
    /// [`PageError`]. There is nothing to be taken, and everything counts as not seen: [`end_all`](Self::end_all) is to be called.
    pub fn read(&mut self, page: &(impl AsRef<[u8]> + ?Sized), how: &Reading<'_>) -> Result<Counts, PageError> {
        self.round += 1;
        self.sheet.clear();
        let read = match how.format {
            Format::Families(wanted) => self.families(page.as_ref(), wanted, how),
            Format::Text | Format::OpenMetrics => std::str::from_utf8(page.as_ref())
                .map_err(|error| PageError::NotText { at: error.valid_up_to() })
                .and_then(|page| self.lines(page, how)),
        };
        self.here = read.as_ref().map_or(0, |counts| counts.scraped);
        if read.is_err() {
            self.sheet.clear();
            // Nothing of this page was seen: what was on the one before is still to be ended.
            let round = self.round;
            self.known.iter_mut().filter(|k| k.seen == round).for_each(|k| k.seen = k.seen_before);
        } else {
            self.end_gone(how.at_ms);
        }
        read
    }

    /// What the page came to, with the tail behind its samples.
    pub fn take(&mut self, tail: Tail<'_>) -> Vec<Batch> {
        if self.tail.len() != tail.names.len() {
            let keys = tail.names.iter().map(|name| self.name(name)).collect::<Result<Vec<_>, _>>();
            self.tail = keys.unwrap_or_default();
        }
        let keys = self.order.iter().filter_map(|place| self.known[*place as usize].key);
        let behind = &tail.points[..tail.points.len().min(self.tail.len())];
        let batches = self.sheet.take(&self.names, keys, (&self.tail, behind));
        self.forget();
        batches
    }

    fn lines(&mut self, page: &str, how: &Reading<'_>) -> Result<Counts, PageError> {
        let page = page.strip_suffix('\n').unwrap_or(page);
        if how.format == Format::OpenMetrics && !(page == "# EOF" || page.ends_with("\n# EOF")) {
            return Err(PageError::CutShort);
        }
        let mut counts = Counts::default();
        let before = std::mem::take(&mut self.order);
        let mut order = Vec::with_capacity(before.len());
        self.sheet.expect(before.len());
        let mut comments = 0_u64;
        for (at, line) in lines_of(page).enumerate() {
            let line = if how.format == Format::Text {
                line.trim_start_matches([' ', '\t']).trim_end_matches('\r')
            } else {
                line
            };
            match line.as_bytes().first() {
                None => continue,
                Some(b'#') => {
                    comments = comments.rotate_left(5) ^ xxh3_64(line.as_bytes());
                    continue;
                }
                Some(_) => {}
            }
            let wrong = |reason: String| PageError::Line { line: at + 1, reason };
            // Pages mostly come in the same order: the next line is guessed, and only a wrong guess is looked for.
            let guess = before.get(order.len()).copied().filter(|place| is_of(line, self.text(*place)));
            let place = match guess {
                Some(place) => place,
                None => {
                    self.sheet.changed();
                    self.look_up(line, how).map_err(wrong)?
                }
            };
            order.push(place);
            self.sample(place, line, how, &mut counts).map_err(wrong)?;
            if how.sample_limit > 0 && counts.kept > how.sample_limit {
                return Err(PageError::TooManySamples { limit: how.sample_limit });
            }
        }
        if order.len() != before.len() {
            self.sheet.changed();
        }
        self.order = order;
        if comments != self.comments {
            self.sheet.metadata = about_families(page, how.format)?;
            self.comments = comments;
        }
        Ok(counts)
    }

    /// The place of a line's series; a new one is prepared.
    fn look_up(&mut self, line: &str, how: &Reading<'_>) -> Result<u32, String> {
        let text = series_text(line).ok_or("a label set is not closed")?;
        let hash = xxh3_128(text.as_bytes());
        if let Some(place) = self.places.get(&hash) {
            return Ok(*place);
        }
        let read = how.format.decode(&how.format.page_of(&format!("{text} 0")));
        let reason = |error: FormatError| match error {
            FormatError::Line { reason, .. } => reason,
            other => other.to_string(),
        };
        let batch = read.map_err(reason)?;
        let series = batch.series().next().ok_or("no series is named")?;
        let labels = series.labels.map_err(|error| error.to_string())?;
        self.known_from(hash, text, (how.prepare)(&labels)?)
    }

    /// A place for a series that is new.
    fn known_from(&mut self, hash: u128, text: &str, name: Option<Vec<u8>>) -> Result<u32, String> {
        let key = name.map(|name| self.name(&name)).transpose()?;
        let place = u32::try_from(self.known.len()).map_err(|_| "too many series")?;
        let from = u32::try_from(self.texts.len()).map_err(|_| "too long a page")?;
        self.texts.push_str(text);
        let to = u32::try_from(self.texts.len()).map_err(|_| "too long a page")?;
        self.known.push(Known { text: (from, to), key, seen: 0, seen_before: 0, tracked: true });
        self.places.insert(hash, place);
        Ok(place)
    }

    fn text(&self, place: u32) -> &str {
        let (from, to) = self.known[place as usize].text;
        &self.texts[from as usize..to as usize]
    }

    /// Keeps the labels of a series.
    fn name(&mut self, name: &[u8]) -> Result<Key, String> {
        let names = Arc::make_mut(&mut self.names);
        let from = names.len();
        names.extend_from_slice(name);
        let place = |at: usize| u32::try_from(at).map_err(|_| "the labels of the page are too long");
        Ok((place(from)?, place(names.len())?))
    }

    /// What follows the series on its line: value, time, exemplar.
    fn sample(&mut self, place: u32, line: &str, how: &Reading<'_>, counts: &mut Counts) -> Result<(), String> {
        let text = self.known[place as usize].text;
        let (value, rest) = word(&line[(text.1 - text.0) as usize..]);
        let value = number(value).ok_or_else(|| format!("{:?} is not a number", short(value)))?;
        let (at, example) = if rest.is_empty() { ("", "") } else { split_time(rest, how.format)? };
        let own_ms = if at.is_empty() { None } else { Some(time(at, how.format)?) };
        let at_ms = own_ms.filter(|_| how.own_times).unwrap_or(how.at_ms);
        if self.seen(place, own_ms.is_none() || !how.own_times, counts).is_none() {
            return Ok(());
        }
        counts.kept += 1;
        if !example.is_empty() {
            let read = how.format.decode(&how.format.page_of(line)).map_err(|error| error.to_string())?;
            let series = self.sheet.points.len();
            // One without a time of its own is as old as its sample.
            let placed = |e: Exemplar| Exemplar { series, at_ms: e.at_ms.or(Some(at_ms)), ..e };
            self.sheet.exemplars.extend(read.exemplars.into_iter().map(placed));
        }
        self.sheet.points.push((at_ms, value));
        Ok(())
    }

    /// Notes that a series is on this page; where its labels are, unless it is dropped.
    fn seen(&mut self, place: u32, tracked: bool, counts: &mut Counts) -> Option<Key> {
        let round = self.round;
        let known = &mut self.known[place as usize];
        counts.scraped += 1;
        counts.added += usize::from(known.seen == 0 || known.seen + 1 < round);
        if known.seen != round {
            known.seen_before = std::mem::replace(&mut known.seen, round);
        }
        known.tracked = tracked;
        known.key
    }

    /// Tells the end of what was on the page before and is not on this one.
    fn end_gone(&mut self, at_ms: i64) {
        let round = self.round;
        let gone = |k: &Known| k.seen + 1 == round && k.tracked && k.key.is_some() && k.seen > 0;
        if !self.known.iter().any(gone) {
            return;
        }
        let names = &self.names;
        let name = |key: Key| &names[key.0 as usize..key.1 as usize];
        // The same series may be written in another way now.
        let here: HashSet<&[u8]> =
            self.known.iter().filter(|k| k.seen == round).filter_map(|k| k.key.map(name)).collect();
        for known in self.known.iter_mut().filter(|k| gone(k)) {
            known.seen = 0;
            if let Some(key) = known.key.filter(|key| !here.contains(name(*key))) {
                self.sheet.ends.push((key, (at_ms, stale_marker())));
            }
        }
    }

    /// Tells the end of everything that was on the last page: the target is gone, or does not answer. Says how many.
    pub fn end_all(&mut self, at_ms: i64) -> usize {
        self.sheet.clear();
        self.sheet.changed();
        self.order.clear();
        self.here = 0;
        for known in self.known.iter_mut().filter(|k| k.seen > 0) {
            let told = known.seen + 1 >= self.round && known.tracked;
            known.seen = 0;
            if let Some(key) = known.key.filter(|_| told) {
                self.sheet.ends.push((key, (at_ms, stale_marker())));
            }
        }
        self.sheet.ends.len()
    }

    /// Lets go of series that are not on the page any more, when they are many.
    fn forget(&mut self) {
        if self.here == 0 || self.known.len() <= 2 * self.here + 100 {
            return;
        }
        let round = self.round;
        let mut moved: HashMap<u32, u32> = HashMap::new();
        let mut kept = Vec::with_capacity(self.here);
        for (place, known) in std::mem::take(&mut self.known).into_iter().enumerate() {
            if known.seen == round {
                moved.insert(place as u32, kept.len() as u32);
                kept.push(known);
            }
        }
        self.known = kept;
        let old = std::mem::take(&mut self.names);
        let names = Arc::make_mut(&mut self.names);
        let texts = std::mem::take(&mut self.texts);
        for known in &mut self.known {
            let from = self.texts.len() as u32;
            self.texts.push_str(&texts[known.text.0 as usize..known.text.1 as usize]);
            known.text = (from, self.texts.len() as u32);
            let Some(key) = &mut known.key else { continue };
            let from = names.len() as u32;
            names.extend_from_slice(&old[key.0 as usize..key.1 as usize]);
            *key = (from, names.len() as u32);
        }
        self.tail.clear();
        self.sheet.changed();
        self.places.retain(|_, place| match moved.get(place) {
            Some(new) => {
                *place = *new;
                true
            }
            None => false,
        });
        self.order.iter_mut().for_each(|place| *place = moved[place]);
    }
}

/// The lines of a page. The standard library's own way looks at fewer bytes at once, which is felt with a thousand lines.
fn lines_of(page: &str) -> impl Iterator<Item = &str> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', page.as_bytes()).chain([page.len()]).map(move |end| {
        let line = &page[begin..end];
        begin = end + 1;
        line
    })
}

/// Whether a line is a sample of the series of that text. A name alone must not be followed by a label set.
fn is_of(line: &str, text: &str) -> bool {
    let Some(rest) = line.strip_prefix(text).filter(|_| !text.is_empty()) else { return false };
    let mut bytes = rest.bytes();
    matches!(bytes.next(), Some(b' ' | b'\t'))
        && (text.ends_with('}') || bytes.find(|b| *b != b' ' && *b != b'\t').is_some_and(|b| b != b'{'))
}

/// The text of the line's series: up to the value, the blanks before it left out.
fn series_text(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let end = bytes.iter().position(|b| matches!(b, b' ' | b'\t' | b'{')).unwrap_or(bytes.len());
    let brace = bytes[end..].iter().position(|b| *b != b' ' && *b != b'\t').map(|skip| end + skip);
    let Some(brace) = brace.filter(|at| bytes[*at] == b'{') else { return Some(&line[..end]) };
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate().skip(brace) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(&line[..=at]),
            _ => {}
        }
    }
    None
}

/// The first word and what is behind it, both without blanks before them.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.bytes().position(|b| b == b' ' || b == b'\t').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches([' ', '\t']))
}

/// Time and exemplar of what follows a value.
fn split_time(rest: &str, format: Format) -> Result<(&str, &str), String> {
    if rest.starts_with('#') && format == Format::OpenMetrics {
        return Ok(("", rest));
    }
    let (at, more) = word(rest);
    if more.is_empty() || more.starts_with('#') && format == Format::OpenMetrics {
        Ok((at, more))
    } else {
        Err("more after the time".to_owned())
    }
}

fn time(text: &str, format: Format) -> Result<i64, String> {
    match format {
        Format::Text | Format::Families(_) => {
            text.parse().map_err(|_| format!("{:?} is not a time in milliseconds", short(text)))
        }
        Format::OpenMetrics => {
            let ms = text.parse::<f64>().ok().map(|s| s * 1000.0).filter(|ms| ms.abs() < 9e15);
            ms.map(|ms| ms.round() as i64).ok_or_else(|| format!("{:?} is not a time in seconds", short(text)))
        }
    }
}

fn number(word: &str) -> Option<f64> {
    let digits = word.as_bytes();
    if (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        return Some(digits.iter().fold(0_u64, |n, d| n * 10 + u64::from(d - b'0')) as f64);
    }
    word.parse().ok().map(measured)
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What the page says of families.
fn about_families(page: &str, format: Format) -> Result<Vec<Metadata>, PageError> {
    let lines: Vec<&str> =
        page.split('\n').filter(|line| line.trim_start().starts_with('#') && *line != "# EOF").collect();
    let read = format.decode(&format.page_of(&lines.join("\n")));
    Ok(read.map_err(|error| PageError::Comments(error.to_string()))?.metadata)
}

#[cfg(test)]
mod tests;
