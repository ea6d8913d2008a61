//! Runs both twins until it is ended, for a look at them by hand:
//! `cargo run -p omnifs-twins --example serve`.

use omnifs_twins::{GithubTwin, LinearTwin};

fn main() -> std::io::Result<()> {
    let github = GithubTwin::demo()?;
    let linear = LinearTwin::demo()?;
    println!("GitHub: curl {}/repos/acme/api/issues/2853", github.url());
    println!(
        "Linear: curl -H 'Content-Type: application/json' -d '{{\"query\":\"{{viewer{{name}}}}\"}}' \
         {}/graphql",
        linear.url()
    );
    loop {
        std::thread::park();
    }
}
