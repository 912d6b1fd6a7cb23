//! What a request of Prometheus's HTTP API asks for: parameters from the query and from a form, times and durations in its forms.
//!
//! Parameters that are not known are skipped, as Prometheus does: its clients send some of newer versions.

use api::App;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use std::time::Duration;

use crate::answer::Refusal;

/// The parameters of a request; those of a form come first.
#[derive(Clone, Debug, Default)]
pub struct Asked(Vec<(String, String)>);

impl FromRequest<App> for Asked {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let form = media.starts_with("application/x-www-form-urlencoded");
        let body = Bytes::from_request(request, app).await.map_err(|e| Refusal::bad_data(e.body_text()))?;
        if !body.is_empty() && !form {
            return Err(Refusal::bad_data("the body must be a form: application/x-www-form-urlencoded"));
        }
        Ok(Self::of(&body, query.as_bytes()))
    }
}

impl Asked {
    /// From a form and a query.
    pub fn of(form: &[u8], query: &[u8]) -> Self {
        let both = url::form_urlencoded::parse(form).chain(url::form_urlencoded::parse(query));
        Self(both.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter, unless it is missing or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that may be given several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A time, in Unix milliseconds.
    ///
    /// # Errors
    /// It is not one.
    pub fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || Refusal::parameter(name, format!("cannot parse {text:?} to a valid timestamp"));
        time(text).map(Some).ok_or_else(wrong)
    }

    /// A time that has to be given.
    ///
    /// # Errors
    /// It is missing or no time.
    pub fn need_time(&self, name: &str) -> Result<i64, Refusal> {
        self.time(name)?.ok_or_else(|| Refusal::parameter(name, "cannot parse \"\" to a valid timestamp"))
    }

    /// A stretch of time, in milliseconds.
    ///
    /// # Errors
    /// It is not one.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || Refusal::parameter(name, format!("cannot parse {text:?} to a valid duration"));
        duration(text).map(Some).ok_or_else(wrong)
    }

    /// How many at most; 0: all.
    ///
    /// # Errors
    /// It is no whole number from 0 on.
    pub fn limit(&self, name: &str) -> Result<usize, Refusal> {
        let Some(text) = self.text(name) else { return Ok(0) };
        text.parse().map_err(|_| Refusal::parameter(name, "limit must be non-negative"))
    }

    /// How long this may take: what is asked for, and `most` at most.
    ///
    /// # Errors
    /// What is asked for is no duration.
    pub fn timeout(&self, most: Duration) -> Result<Duration, Refusal> {
        let asked = self.duration("timeout")?.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.unsigned_abs()));
        Ok(asked.unwrap_or(most).min(most))
    }
}

/// Unix seconds with decimals, or RFC 3339; in Unix milliseconds.
pub fn time(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => millis(seconds),
        Err(_) => kernel::Time::parse(text).map(kernel::Time::as_millis),
    }
}

/// Seconds with decimals, or `1h30m`; in milliseconds.
pub fn duration(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) => millis(seconds),
        Err(_) => units(text),
    }
}

/// Times of any sense end within what the engine can count.
fn millis(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    // Beyond 2^53 a float is no longer a whole number of milliseconds; clients send such for "always".
    ms.is_finite().then(|| ms.clamp(-9e15, 9e15) as i64)
}

/// `1d12h`, `5m`, `250ms`: units from large to small, each once.
fn units(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut from) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        let place = UNITS.iter().position(|(name, _)| *name == unit).filter(|place| *place >= from)?;
        total = total.checked_add(number.checked_mul(UNITS[place].1)?)?;
        from = place + 1;
        rest = &rest[digits + letters..];
    }
    (from > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("1435781451.781", Some(1_435_781_451_781)),
            ("0", Some(0)),
            ("-1.5", Some(-1_500)),
            ("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781)),
            ("2015-07-01T22:10:51+02:00", Some(1_435_781_451_000)),
            ("9223309901257974", Some(9_000_000_000_000_000)),
            ("NaN", None),
            ("Inf", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        for (text, expected) in [
            ("15", Some(15_000)),
            ("0.5", Some(500)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1y2w3d4h5m6s7ms", Some(33_019_506_007)),
            ("30m1h", None),
            ("1h1h", None),
            ("5 m", None),
            ("m", None),
            ("99999999999999y", None),
            ("é", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn a_form_comes_before_the_query_and_an_empty_parameter_is_none() {
        let asked = Asked::of(b"query=a%2Bb&match[]=x", b"query=c&match%5B%5D=y&time=&limit=-1");
        assert_eq!(asked.text("query"), Some("a+b"));
        assert_eq!(asked.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(asked.time("time").expect("none"), None);
        assert!(asked.limit("limit").is_err() && asked.need_time("time").is_err());
    }
}
