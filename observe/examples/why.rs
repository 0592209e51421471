//! Says why a process does not go on: `cargo run --example why -- PID|TID|NAME [--json]`.

use wigwag_observe::why::why;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next() else {
        eprintln!("usage: why PID|TID|NAME [--json]");
        std::process::exit(2);
    };
    let json = arguments.next().as_deref() == Some("--json");
    let answers = why(&target, &Default::default())?;
    for answer in &answers {
        if json {
            println!("{}", answer.to_json());
        } else {
            println!("{answer}");
        }
    }
    std::process::exit(if answers.iter().any(|answer| answer.is_alarm()) {
        3
    } else {
        0
    })
}
