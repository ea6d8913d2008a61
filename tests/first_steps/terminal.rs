//! `omnifs setup` and `omnifs auth login` on a terminal.

use super::*;
use rexpect::session::{PtySession, spawn_command};
use std::process::Command;

/// Milliseconds to wait for each text; the first start compiles every component.
const PATIENCE: u64 = 60_000;

/// The command on a terminal that shows what is typed.
fn terminal(omnifs: &Omnifs, arguments: &[&str]) -> PtySession {
    let whole = omnifs.command();
    let mut command = Command::new("/bin/sh");
    let script = "stty echo; \"$0\" \"$@\"; echo \"exit code $?\"";
    command.args(["-c", script]).arg(whole.get_program());
    command.args(arguments);
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // A wrong yes must not mount at this machine's own /omnifs, nor write it a service.
    let path = program(omnifs, "systemctl", "exit 1");
    command.env("OMNIFS_BACKEND", "winfsp").env("PATH", path);
    spawn_command(command, Some(PATIENCE)).expect("a terminal")
}

/// Where none can run, none is offered.
fn services_run() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// A talk with the program, all of which is kept.
struct Talk {
    session: PtySession,
    heard: String,
}

impl Talk {
    fn new(omnifs: &Omnifs, arguments: &[&str]) -> Talk {
        Talk { session: terminal(omnifs, arguments), heard: String::new() }
    }

    fn hear(&mut self, text: &str) {
        let before = self.session.exp_string(text);
        let before = before.unwrap_or_else(|e| panic!("{text}: {e}: {}", self.heard));
        self.heard += &before;
        self.heard += text;
    }

    fn answer(&mut self, question: &str, answer: &str) {
        self.hear(question);
        self.session.send_line(answer).expect("it listens");
    }

    fn ends(mut self) -> (i32, String) {
        self.heard += &self.session.exp_eof().expect("an end");
        let code = self.heard.split("exit code ").nth(1).and_then(|code| code.trim().parse().ok());
        (code.unwrap_or_else(|| panic!("no exit code: {}", self.heard)), self.heard)
    }
}

#[test]
fn setup_asks_about_each_thing_and_does_what_is_agreed_to() {
    let world = World::placed();
    let mut talk = Talk::new(&world.omnifs, &["setup"]);
    // There is no engine where DOCKER_HOST says; what else this machine has is not wanted.
    loop {
        let found =
            talk.session.exp_regex("(docker: use .*|docker: switch it off.*)\\? \\[Y/n\\] ");
        let (_, question) = found.expect("a question");
        if question.contains("switch it off") {
            talk.session.send_line("n").expect("it listens");
            break;
        }
        talk.session.send_line("n").expect("it listens");
    }
    talk.hear(&format!("github: make a token at {}", world.twin.url()));
    talk.answer("github for github, or nothing to leave it out: ", TOKEN);
    talk.hear(", of mira");
    talk.hear("linear: make a token at https://linear.app/settings/");
    talk.answer("linear for linear, or nothing to leave it out: ", "");
    talk.answer("linear: switch it off, since nothing was found for it? [Y/n] ", "");
    if services_run() {
        talk.answer("now and at each start? [Y/n] ", "n");
    }
    talk.answer(" now? [Y/n] ", "no");
    let (code, heard) = talk.ends();
    assert_eq!(code, 0, "{heard}");
    assert!(!heard.contains(PART), "a token is not shown while it is typed: {heard}");
    assert!(heard.contains("next: ") && heard.contains("omnifs mount /"), "{heard}");
    let config = world.config();
    assert!(config.starts_with(&world.placing()), "{config}");
    assert!(config.contains("[instances.linear]\nenabled = false\n"), "{config}");
    assert!(!config.contains("docker"), "what was declined is not written: {config}");
    assert_eq!(world.run(&["auth", "token", "github"]).stdout, format!("{TOKEN}\n"));
}

#[test]
fn a_typed_token_that_is_refused_may_be_typed_anew_and_ends_nothing() {
    let world = World::placed();
    let mut talk =
        Talk::new(&world.omnifs, &["setup", "--without", "docker", "--without", "linear"]);
    let prompt = "github for github, or nothing to leave it out: ";
    talk.answer(prompt, "ghp_unknownSECRET0009");
    talk.hear("github does not accept this token; it is not kept");
    talk.answer(prompt, "two words");
    talk.hear("one word");
    talk.answer(prompt, TOKEN);
    talk.hear(", of mira");
    if services_run() {
        talk.answer("now and at each start? [Y/n] ", "n");
    }
    talk.answer(" now? [Y/n] ", "no");
    let (code, heard) = talk.ends();
    assert_eq!((code, world.kept().len()), (0, 1), "{heard}");
    assert!(!heard.contains(PART), "{heard}");
}

#[test]
fn an_end_of_the_input_agrees_to_nothing() {
    let world = World::placed();
    let mut talk =
        Talk::new(&world.omnifs, &["setup", "--without", "docker", "--without", "linear"]);
    talk.hear("or nothing to leave it out: ");
    talk.session.send_control('d').expect("it listens");
    talk.hear("github: switch it off");
    talk.session.send_control('d').expect("it listens");
    if services_run() {
        talk.hear("now and at each start? [Y/n] ");
        talk.session.send_control('d').expect("it listens");
    }
    talk.hear(" now? [Y/n] ");
    talk.session.send_control('d').expect("it listens");
    let (code, heard) = talk.ends();
    assert_eq!((code, world.kept().len()), (0, 0), "{heard}");
    assert!(!world.config().contains("[instances.github]\nenabled"), "{}", world.config());
}

#[test]
fn a_login_reads_a_token_that_is_not_shown_and_names_the_page_to_make_one() {
    let world = World::placed();
    let mut talk = Talk::new(&world.omnifs, &["auth", "login", "github"]);
    talk.hear(&format!("make a token at: {}", world.twin.url()));
    talk.answer("github for github: ", TOKEN);
    let (code, heard) = talk.ends();
    assert_eq!(code, 0, "{heard}");
    assert!(heard.contains(", of mira") && !heard.contains(PART), "{heard}");
}
