//! Lists every object of the facilities named, or of all: `cargo run -p wigwag-observe --example list -- pipe unix`.

use wigwag_observe::Snapshot;

fn main() -> std::io::Result<()> {
    let mut builder = Snapshot::builder();
    let facilities: Vec<String> = std::env::args().skip(1).collect();
    if !facilities.is_empty() {
        builder = builder.facilities(facilities);
    }
    let snapshot = builder.capture()?;
    for object in &snapshot.objects {
        println!("{:14} {}", object.facility, object.name);
        let facts = [
            object
                .address
                .clone()
                .map(|address| format!("address {address}")),
            object.user.clone().map(|user| format!("owner {user}")),
            object.mode.map(|mode| format!("mode {mode:03o}")),
            object.state.clone(),
            Some(format!("{:?}", object.persistence)),
        ];
        println!(
            "    {}",
            facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        );
        for fill in &object.fill {
            let capacity = fill
                .capacity
                .map(|capacity| format!(" of {capacity}"))
                .unwrap_or_default();
            println!("    {}{capacity} {:?}", fill.level, fill.unit);
        }
        for (name, value) in &object.details {
            println!("    {name}: {value}");
        }
        for holder in &object.holders {
            let through = holder
                .fd
                .map(|fd| format!(" by descriptor {fd}"))
                .unwrap_or_default();
            println!(
                "    {} [{}] {}{through}",
                holder.comm,
                holder.pid,
                holder.role.word()
            );
        }
        for peer in &object.peers {
            let whose: Vec<_> = peer
                .holders
                .iter()
                .map(|holder| format!("{} [{}]", holder.comm, holder.pid))
                .collect();
            println!("    peer {} {}", peer.name, whose.join(", "));
        }
        for waiter in &object.waiters {
            println!(
                "    {} [{}] waits to {}, {:?} ms",
                waiter.comm,
                waiter.tid.unwrap_or(waiter.pid),
                waiter.wants,
                waiter.since_ms
            );
        }
        if let Some(leak) = &object.leak {
            println!("    LEAK ({:?}): {}", leak.certainty, leak.reason);
        }
    }
    println!(
        "{} objects, {} processes, {} ms",
        snapshot.objects.len(),
        snapshot.processes.len(),
        snapshot.took_ms
    );
    for unseen in &snapshot.unseen {
        println!("not seen: {unseen:?}");
    }
    Ok(())
}
