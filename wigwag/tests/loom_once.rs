//! The once cell under loom; its weakenings are `once-acquire`, `once-release` and `once-wake`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use wigwag::gate::OnceCell;

#[test]
fn all_see_one_whole_value() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let cell = Arc::new(OnceCell::new());
        let value = |mine: u32| {
            move || {
                let value = UnsafeCell::new(0);
                // SAFETY: nobody else has it yet.
                value.with_mut(|value| unsafe { *value = mine });
                value
            }
        };
        // SAFETY: never written again.
        let read = |value: &UnsafeCell<u32>| value.with(|value| unsafe { *value });
        let others: Vec<_> = (1..=2)
            .map(|mine| {
                let cell = cell.clone();
                thread::spawn(move || read(cell.get_or_init(value(mine)).expect("a value")))
            })
            .collect();
        let early = cell.get().map(read);
        let seen: Vec<u32> = others
            .into_iter()
            .map(|other| other.join().expect("a thread"))
            .collect();
        assert_eq!(seen[0], seen[1]);
        assert!(early.is_none_or(|early| early == seen[0]));
    });
}
