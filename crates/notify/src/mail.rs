//! A page as a mail: headers that say what it is, text in UTF-8, nothing of it able to become a header.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::{Address, address::Envelope};
use sha2::{Digest, Sha256};
use std::time::{Duration, UNIX_EPOCH};

use crate::page::{Page, SendError, one_line};

/// A subject is cut here; what matters is in front.
const SUBJECT_CHARS: usize = 200;
/// A mail larger than this is refused rather than cut.
const BODY_BYTES: usize = 1 << 20;

/// A mail, ready to be sent, and who it is from and to.
pub(crate) struct Mail {
    pub(crate) envelope: Envelope,
    pub(crate) bytes: Vec<u8>,
}

/// The Message-ID of a page: the same for every attempt, so a mail program shows a repeat once.
pub(crate) fn message_id(page_id: &str, from: &Address) -> String {
    let safe =
        !page_id.is_empty() && page_id.len() <= 64 && page_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let left = if safe { page_id.to_owned() } else { hex::encode(&Sha256::digest(page_id.as_bytes())[..16]) };
    format!("<page-{left}@{}>", from.domain())
}

/// Builds the mail.
pub(crate) fn build(page: &Page, from: &str, now_ms: i64) -> Result<Mail, SendError> {
    let from: Mailbox = from.parse().map_err(|_| SendError::refused("the channel's sender is no mail address"))?;
    let to = recipient(&page.to)?;
    if page.text.len() + page.html.as_ref().map_or(0, String::len) > BODY_BYTES {
        return Err(SendError::refused(format!("the message is larger than {BODY_BYTES} bytes")));
    }
    let subject = match one_line(&page.subject, SUBJECT_CHARS) {
        empty if empty.is_empty() => "Message from Mainstay".to_owned(),
        subject => subject,
    };
    let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let envelope = Envelope::new(Some(from.email.clone()), vec![to.email.clone()])
        .map_err(|_| SendError::refused("the mail has no recipient"))?;
    let id = message_id(&page.id, &from.email);
    let builder = Message::builder()
        .date(date)
        .message_id(Some(id))
        .from(from)
        .to(to)
        .subject(subject)
        // RFC 3834: no mail program answers it with a holiday note, so no loop begins.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    let text = SinglePart::plain(plain_text(page));
    let message = match &page.html {
        None => builder.singlepart(text),
        Some(html) => {
            builder.multipart(MultiPart::alternative().singlepart(text).singlepart(SinglePart::html(html.clone())))
        }
    };
    let message = message.map_err(|e| SendError::refused(format!("the mail cannot be written: {e}")))?;
    Ok(Mail { envelope, bytes: message.formatted() })
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Whether a mail could be addressed to this: one address, with or without a name.
pub fn is_mail_address(text: &str) -> bool {
    recipient(text).is_ok()
}

/// The one recipient. What could be two, or a header, or a command, is none.
fn recipient(to: &str) -> Result<Mailbox, SendError> {
    let shown = one_line(to, 100);
    let refuse = || SendError::refused(format!("{shown:?} is no mail address"));
    if to.chars().any(char::is_control) || to.len() > 320 {
        return Err(refuse());
    }
    let mailbox: Mailbox = to.trim().parse().map_err(|_| refuse())?;
    // The address itself, not its quoted forms: those that need quoting are where servers disagree.
    let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@[]:".contains(c);
    if mailbox.email.to_string().chars().all(plain) { Ok(mailbox) } else { Err(refuse()) }
}

fn plain_text(page: &Page) -> String {
    let mut text: String = page.text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    for (title, address) in page.links.iter().filter(|(_, address)| !page.text.contains(address.as_str())) {
        text.push_str(&format!("\n\n{}: {}", one_line(title, 200), one_line(address, 2000)));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page() -> Page {
        Page {
            id: "0192f5c2-7a10-7000-8000-000000000001".into(),
            to: "oncall@example.org".into(),
            subject: "nginx is down on web-1".into(),
            text: "The check http failed.".into(),
            html: None,
            data: serde_json::Value::Null,
            links: vec![],
        }
    }

    fn text(page: &Page) -> String {
        String::from_utf8(build(page, "Mainstay <ops@example.org>", 1_763_718_000_000).unwrap().bytes).unwrap()
    }

    /// Header names of a mail, in order.
    fn headers(mail: &str) -> Vec<String> {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        starts.map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase()).collect()
    }

    #[test]
    fn a_mail_says_what_it_is() {
        let mail = text(&page());
        for line in [
            "From: Mainstay <ops@example.org>\r\n",
            "To: oncall@example.org\r\n",
            "Subject: nginx is down on web-1\r\n",
            "Message-ID: <page-0192f5c2-7a10-7000-8000-000000000001@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Fri, 21 Nov 2025 09:40:00 +0000\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
        ] {
            assert!(mail.contains(line), "{line:?} is in\n{mail}");
        }
    }

    #[test]
    fn the_same_page_is_the_same_mail_on_every_attempt() {
        assert_eq!(text(&page()), text(&page()));
        let from: Address = "a@example.org".parse().unwrap();
        let odd = message_id("a b\r\nBcc: x@y", &from);
        assert_eq!(odd, message_id("a b\r\nBcc: x@y", &from));
        assert!(odd.bytes().all(|b| b.is_ascii_alphanumeric() || b"<>@.-".contains(&b)), "{odd}");
        assert_ne!(odd, message_id("another", &from));
    }

    #[test]
    fn words_of_any_language_arrive_in_seven_bits() {
        let mut page = page();
        page.subject = "Störung: Überlast auf Gerät 7 – 火事".into();
        page.text = "Grüße\n.\nMAIL FROM:<x@y>\n".into();
        let mail = text(&page);
        assert!(mail.is_ascii());
        assert!(mail.contains("Subject: =?utf-8?b?"), "{mail}");
    }

    #[test]
    fn nothing_in_a_page_becomes_a_header_or_a_recipient() {
        let plain = headers(&text(&page()));
        let evil = [
            "\r\nBcc: evil@example.com",
            "\nBcc: evil@example.com",
            "\rBcc: evil@example.com",
            "\u{2028}Bcc: x@y.z",
            "\0",
            "\r\n\r\nbody",
            "\u{85}Bcc: x@y.z",
            " =?utf-8?q?=0d=0aBcc:_x@y.z?=",
        ];
        for tail in evil {
            let mut page = page();
            page.subject.push_str(tail);
            page.id.push_str(tail);
            page.links = vec![(format!("Open{tail}"), format!("https://example.org/{tail}"))];
            let mail = text(&page);
            assert_eq!(headers(&mail), plain, "{tail:?} in\n{mail}");
            page.to.push_str(tail);
            assert!(build(&page, "ops@example.org", 0).is_err(), "{tail:?} in a recipient");
        }
        for to in [
            "",
            "a",
            "a@b, c@d.e",
            "a@example.org c@example.org",
            "<a@example.org> SIZE=1",
            "\"a b\"@example.org",
            "a@example.org>\u{200b}<b@example.org",
        ] {
            let page = Page { to: to.into(), ..page() };
            assert!(matches!(build(&page, "ops@example.org", 0), Err(SendError::Refused { .. })), "{to:?}");
        }
    }

    #[test]
    fn links_are_added_once() {
        let mut page = page();
        page.links = vec![("Open INC-7".into(), "https://ops.example.org/r/incident/INC-7".into())];
        assert!(text(&page).contains("Open INC-7: https://ops.example.org/r/incident/INC-7"));
        page.text = "See https://ops.example.org/r/incident/INC-7".into();
        assert_eq!(text(&page).matches("INC-7").count(), 1);
    }

    proptest! {
        #[test]
        fn any_subject_and_text_make_one_mail_with_the_same_headers(subject in any::<String>(), body in any::<String>(), id in any::<String>()) {
            let page = Page { subject, text: body, id, ..page() };
            prop_assert_eq!(headers(&text(&page)), headers(&text(&super::tests::page())));
        }
    }
}
