//! Many hosts side by side.

use crate::support::guests::Guests;
use std::time::Instant;

/// The storage pool of the test driver has 100 GiB, its template and every guest 1 GiB or more.
const MOST: usize = 98;

#[test]
#[expect(clippy::print_stderr, reason = "a failed test shows how far it came, and how fast")]
fn a_hundred_guests_are_made_side_by_side() {
    for count in [25, MOST] {
        let guests = Guests::new(count);
        let start = Instant::now();
        let up = guests.desk.bp(&["up", "--json"]).exits(0).done();
        eprintln!("{count} guests made in {:.1?}", start.elapsed());
        assert_eq!(up["applied"], 1 + 2 * count);
        guests.assert_complete();
        let start = Instant::now();
        assert_eq!(guests.desk.bp(&["up", "--json"]).exits(0).done()["applied"], 0);
        eprintln!("{count} guests found again in {:.1?}", start.elapsed());
        assert_eq!(
            guests.desk.bp(&["destroy", "--yes", "--json"]).exits(0).done()["removed"],
            count + 1
        );
        assert!(guests.own().is_empty());
    }
}
