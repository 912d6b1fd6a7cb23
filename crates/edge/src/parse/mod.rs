//! Parsers: bytes of one file or one answer in, a value out. No file is opened here and no clock is read.
//!
//! None of them panics or fails on any input (property-tested below): a line that makes no sense is left out, since one odd line
//! must not hide the rest of the machine. All of them are bounded by their input.

pub mod cgroup;
pub mod colon;
pub mod dpkg;
pub mod hosts;
pub mod mountinfo;
pub mod netlink;
pub mod os_release;
pub mod passwd;
pub mod sockets;
pub mod stat;
pub mod systemctl;

/// Lines of a text file, with what is not UTF-8 replaced.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_parser_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = cgroup::unit(&bytes);
            let _ = dpkg::status(&bytes);
            let _ = dpkg::owns(&bytes, &[std::path::Path::new("/usr/sbin/nginx")]);
            let _ = hosts::canonical_name(&bytes, "vm");
            let _ = mountinfo::mounts(&bytes);
            let _ = netlink::addresses(&bytes);
            let _ = netlink::is_last(&bytes);
            let _ = os_release::fields(&bytes);
            let _ = passwd::users(&bytes);
            let _ = passwd::groups(&bytes);
            let _ = sockets::table(&bytes, sockets::Protocol::Tcp);
            let _ = systemctl::blocks(&bytes);
            let _ = stat::stat(&bytes);
            let _ = colon::values(&bytes, ["a"]);
        }

        #[test]
        fn no_parser_panics_on_text_of_the_right_alphabet(text in "[0-9A-Fa-f:/. \\\\\n=\"a-z()-]{0,400}") {
            let bytes = text.as_bytes();
            let _ = cgroup::unit(bytes);
            let _ = dpkg::status(bytes);
            let _ = hosts::canonical_name(bytes, "a");
            let _ = mountinfo::mounts(bytes);
            let _ = os_release::fields(bytes);
            let _ = passwd::users(bytes);
            let _ = passwd::groups(bytes);
            let _ = sockets::table(bytes, sockets::Protocol::Udp);
            let _ = systemctl::blocks(bytes);
            let _ = stat::stat(bytes);
            let _ = colon::values(bytes, ["a"]);
            let _ = colon::kilobytes(&text);
        }
    }
}
