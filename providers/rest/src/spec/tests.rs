use super::*;

const HEAD: &str = "name = 'x'\nsummary = 'X'\nurl = 'https://x.example'\n";

fn fault(text: &str) -> String {
    match Spec::read(text) {
        Err(Fault(why)) => why,
        Ok(_) => panic!("nothing is wrong with {text}"),
    }
}

/// What is wrong with an object of these lines, which begin in line 5.
fn object(lines: &str) -> String {
    fault(&format!("{HEAD}[objects.a]\n{lines}\n"))
}

#[test]
fn a_bad_file_is_refused_with_one_line_that_says_where_and_what_to_do() {
    let list = "path = '{a}'\nlist = '/a'";
    for (lines, line, why) in [
        ("path = 'a/{b}'\nlist = '/a'", 5, "`{b}` of the path is no object"),
        ("path = 'a//{a}'\nlist = '/a'", 5, "is no name"),
        ("path = 'a/{a}'", 4, "needs a list"),
        ("path = 'a'", 4, "neither a list nor a get"),
        ("path = 'a'\nlist = '/a'", 5, "ends in {a}"),
        ("path = '{a}/b'\nlist = '/a'", 5, "goes on after {a}"),
        ("path = '{a}'\nlist = 'a'", 6, "does not begin with `/`"),
        ("path = '{a}'\nlist = '/a?of={id}'", 6, "{id} is no object"),
        ("path = '{a}'\nlist = '/a'\nget = '/one'", 7, "has {id} in it"),
        (&format!("{list}\nid = 'id'"), 7, "a pointer is empty or begins"),
        (&format!("{list}\nfiles = {{ x = 'x' }}"), 7, "is no JSON pointer"),
        (&format!("{list}\nfiles = {{ 'a/b' = '/x' }}"), 7, "is no name of a file"),
        (&format!("{list}\ndetails = {{ x = '/x' }}"), 7, "put it under files"),
        (&format!("{list}\nget = '/a/{{id}}'\nfiles = {{ x = '' }}"), 8, "put it under details"),
        (&format!("{list}\npages = {{ by = 'magic', size = 1 }}"), 7, "pages go on by"),
        (&format!("{list}\npages = {{ by = 'page', size = 0 }}"), 7, "1 to 1000 items"),
        (
            "path = '{a}'\nlist = '/a?page=1'\npages = { by = 'page', size = 9 }",
            7,
            "is set by pages",
        ),
        (&format!("{list}\npages = {{ by = 'page', cursor = '/n' }}"), 7, "needs no `by`"),
        (&format!("{list}\npages = {{ cursor = 'n' }}"), 7, "a cursor is a pointer"),
        (
            "path = '{a}'\nlist = '/a?after=1'\npages = { cursor = '/n', parameter = 'after' }",
            7,
            "is set by pages",
        ),
        (&format!("{list}\nlst = '/b'"), 7, "unknown field `lst`"),
        ("path = 7\nlist = '/a'", 5, "invalid type"),
        ("path = '{a}", 5, ""),
        (&format!("{list}\n[objects.b]\npath = '{{b}}'\nlist = '/b'"), 8, "two objects list"),
        (&format!("{list}\n[objects.b]\npath = 'x/{{b}}'\nlist = '/b'"), 8, "among the names"),
        (
            "path = 'z/{a}'\nlist = '/a'\n[objects.b]\npath = 'x/{a}/y/{b}'\nlist = '/b'",
            8,
            "no object has the path x/{a}",
        ),
        (
            &format!("{list}\n[objects.b]\npath = '{{a}}/{{b}}'\nlist = '/b'"),
            8,
            "put a name before {b}",
        ),
        ("path = 'x'\nget = '/a'\n[objects.b]\npath = 'x'\nget = '/b'", 8, "is taken"),
        (
            "path = 'x'\nget = '/a'\nfiles = { y = '/y' }\n[objects.b]\npath = 'x/y'\nget = '/b'",
            5,
            "a file of x and a directory",
        ),
    ] {
        let said = object(lines);
        assert!(said.starts_with(&format!("line {line}: ")), "{lines}: {said}");
        assert!(said.contains(why) && !said.contains('\n'), "{lines}: {said}");
    }
}

#[test]
fn what_is_wrong_above_the_objects_is_told_too() {
    assert!(fault(HEAD).contains("declares no object"));
    let rest = "[objects.a]\npath = '{a}'\nlist = '/a'\n";
    for (from, to, said) in [
        ("name = 'x'", "name = 'X y'", "line 1: the name"),
        ("https:", "ftp:", "line 3: the url"),
        ("summary = 'X'", "summary = ''", "line 2: the summary"),
        (
            "[objects.a]",
            "[credential]\nscheme = 'magic'\nhelp = ''\n[objects.a]",
            "line 5: the scheme is",
        ),
        (
            "[objects.a]",
            "[credential]\nscheme = 'header'\nhelp = ''\n[objects.a]",
            "line 5: the scheme header",
        ),
        (
            "[objects.a]",
            "[credential]\nscheme = 'bearer'\nhelp = 'https://x.example/#a'\n[objects.a]",
            "line 6: help is the address",
        ),
        ("[objects.a]", "[objects.id]", "line 4: an object's name"),
        ("url = 'https://x.example'\n", "", "missing field `url`"),
    ] {
        let why = fault(&format!("{HEAD}{rest}").replace(from, to));
        assert!(why.contains(said), "{to}: {why}");
    }
}

#[test]
fn a_feed_that_promises_what_it_cannot_see_is_refused() {
    let file = |object: &str, feed: &str| {
        fault(&format!("{HEAD}[objects.a]\n{object}\n[feed.a]\n{feed}\n"))
    };
    let list = "path = '{a}'\nlist = '/a'\nmodified = '/at'";
    let newest = "by = 'newest'\npoll = '/a'\nsize = 9";
    for (feed, line, why) in [
        ("by = 'magic'\nsees = ['changes']", 9, "a feed is by"),
        ("by = 'whole'\nsees = []", 10, "sees nothing"),
        ("by = 'whole'\nsees = ['all']", 10, "a feed sees"),
        ("by = 'whole'\nsees = ['changes']\npoll = '/a'", 11, "`by` and `sees` alone"),
        ("by = 'newest'\nsees = ['changes']", 9, "has a request (poll)"),
        (&format!("{newest}\nsees = ['deletions']"), 12, "unless an item says so"),
        ("by = 'newest'\npoll = '/a?s={since}'\nsize = 9\nsees = ['changes']", 10, "{since} is of"),
        ("by = 'since'\npoll = '/a'\nsize = 9\nsees = ['changes']", 10, "has {since} in it"),
        ("by = 'since'\npoll = '/a?s={id}'\nsize = 9\nsees = ['changes']", 10, "{id} is no object"),
        (
            "by = 'since'\npoll = '/a?s={since}'\nsize = 9\nsees = ['changes']\ntime = 'days'",
            13,
            "a time is written",
        ),
        (&format!("{newest}\nsees = ['changes']\nevery = 7"), 13, "unknown field `every`"),
    ] {
        let said = file(list, feed);
        assert!(
            said.starts_with(&format!("line {line}: ")) && said.contains(why),
            "{feed}: {said}"
        );
    }
    let seen = format!("{newest}\nsees = ['changes']");
    assert!(
        file("path = '{a}'\nlist = '/a'", &seen).contains("goes by the time of the last change")
    );
    let single = file("path = 'a'\nget = '/a'", "by = 'whole'\nsees = ['deletions']");
    assert!(single.contains("neither made nor deleted"), "{single}");
    assert!(
        fault(&format!("{HEAD}[objects.a]\n{list}\n[feed.b]\n{seen}\n")).contains("no [objects.b]")
    );
    let nested = "path = 'x/{a}/b/{b}'\nlist = '/b?a={a}'\nget = '/a/{a}/{id}'\nmodified = '/at'";
    let said = fault(&format!(
        "{HEAD}[objects.a]\npath = 'x/{{a}}'\nlist = '/a'\n[objects.b]\n{nested}\n[feed.b]\n{seen}\n"
    ));
    assert!(said.starts_with("line 8: b is asked for with {a}"), "{said}");
}
