//! What servers answer, and what is not asked.

use super::{Dns, TYPES, question};
use domain::base::iana::Rcode;
use domain::base::message_builder::MessageBuilder;
use domain::base::name::Name;
use domain::base::{Message, Rtype};
use domain::rdata::{A, Cname};
use omnifs_sdk::Error;
use omnifs_sdk::testing::{Mount, Recorded};

type Owned = Name<Vec<u8>>;

const KIND: &[(&str, &str)] = &[("content-type", "application/dns-message")];

fn request(name: &str, kind: Rtype) -> String {
    format!("GET {}", question(name, kind).unwrap().path())
}

fn name(text: &str) -> Owned {
    text.parse().unwrap()
}

/// An answer about `asked`: an alias, and the address of what it leads to.
fn message(asked: &str, kind: Rtype, code: Rcode, full: bool) -> Vec<u8> {
    let mut question = MessageBuilder::new_vec().question();
    question.push((name(asked), kind)).unwrap();
    let mut answer = question.answer();
    answer.header_mut().set_rcode(code);
    if full {
        answer.push((name(asked), 60, Cname::new(name("host.example")))).unwrap();
        answer.push((name("host.example"), 60, A::from_octets(192, 0, 2, 1))).unwrap();
    }
    answer.finish()
}

fn answered(of: &str, code: Rcode) -> Recorded {
    TYPES.into_iter().fold(Recorded::new(), |recorded, (_, kind)| {
        let full = matches!(kind, Rtype::A | Rtype::CNAME);
        recorded.answer(&request(of, kind), 200, KIND, message(of, kind, code, full))
    })
}

#[test]
fn a_question_is_the_one_of_the_rfc() {
    // RFC 8484, section 4.1.1.
    let expected = "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
    assert_eq!(question("www.example.com", Rtype::A).unwrap().path(), expected);
}

#[test]
fn a_file_shows_the_records_of_its_type_and_all_shows_each_record_once() {
    let mount = Mount::<Dns>::new(answered("www.example", Rcode::NOERROR));
    assert_eq!(mount.read("www.example/A").unwrap(), "192.0.2.1\n");
    assert_eq!(mount.read("www.example/CNAME").unwrap(), "host.example.\n");
    assert_eq!(mount.read("www.example/MX").unwrap(), "");
    let all = mount.read("www.example/_all").unwrap();
    assert_eq!(all, "www.example. 60 IN CNAME host.example.\nhost.example. 60 IN A 192.0.2.1\n");
    let raw = mount.read_bytes("www.example/_raw").unwrap();
    let (mut rest, mut count) = (&raw[..], 0);
    while let [high, low, after @ ..] = rest {
        let (one, left) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        Message::from_octets(one).unwrap();
        (rest, count) = (left, count + 1);
    }
    assert_eq!((rest.len(), count), (0, TYPES.len()));
    assert_eq!(mount.list("").unwrap(), [""; 0]);
}

#[test]
fn a_name_that_does_not_exist_is_absent_and_a_server_that_fails_says_nothing_of_it() {
    let mount = Mount::<Dns>::new(answered("no.example", Rcode::NXDOMAIN));
    assert!(matches!(mount.stat("no.example"), Err(Error::NotFound)));
    let mount = Mount::<Dns>::new(answered("no.example", Rcode::SERVFAIL));
    assert!(matches!(mount.stat("no.example"), Err(Error::Unavailable(_))));
    let mount = Mount::<Dns>::new(answered("no.example", Rcode::REFUSED));
    assert!(matches!(mount.stat("no.example"), Err(Error::Denied(_))));
    let page = [("content-type", "text/html")];
    let upstream = Recorded::new().answer(&request("no.example", Rtype::SOA), 200, &page, "<html>");
    assert!(matches!(Mount::<Dns>::new(upstream).stat("no.example"), Err(Error::Invalid(_))));
}

#[test]
fn an_alias_that_leads_nowhere_is_a_name_with_its_alias_alone() {
    let kind = [("content-type", "Application/DNS-message; charset=utf-8")];
    let upstream = TYPES.into_iter().fold(Recorded::new(), |recorded, (_, kind_of)| {
        let mut question = MessageBuilder::new_vec().question();
        question.push((name("www.example"), kind_of)).unwrap();
        let mut answer = question.answer();
        answer.header_mut().set_rcode(Rcode::NXDOMAIN);
        answer.push((name("www.example"), 60, Cname::new(name("gone.example")))).unwrap();
        recorded.answer(&request("www.example", kind_of), 200, &kind, answer.finish())
    });
    let mount = Mount::<Dns>::new(upstream);
    assert_eq!(mount.read("www.example/CNAME").unwrap(), "gone.example.\n");
    assert_eq!(mount.read("www.example/A").unwrap(), "");
}

#[test]
fn bytes_that_are_no_answer_are_an_error_at_worst() {
    let whole = message("www.example", Rtype::A, Rcode::NOERROR, true);
    for end in 0..whole.len() {
        let upstream = answered("www.example", Rcode::NOERROR);
        let mount = Mount::<Dns>::new(upstream);
        assert!(mount.stat("www.example/A").is_ok());
        let cut = request("www.example", Rtype::A);
        mount.upstream_changes(Recorded::new().answer(&cut, 200, KIND, &whole[..end]));
        assert!(matches!(mount.read("www.example/A"), Err(Error::Invalid(_))), "{end}");
    }
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    let mount = Mount::<Dns>::new(Recorded::new());
    let long = ["a"; 130].join(".");
    for odd in [".git", "a..b", "a.", "Example.org", "caf\u{e9}.example", "a b", &long] {
        assert!(matches!(mount.stat(odd), Err(Error::NotFound)), "{odd}");
    }
    assert_eq!(mount.requests(), [""; 0]);
}
