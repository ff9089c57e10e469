//! The pictures of a lane with two cameras, as the page shows them.

use super::super::rig::Rig;
use super::due_at_noon;
use crate::domain::event::{ArrivalRead, LaneId, PhotoKind, PlateRead};
use crate::domain::lane::{WaitReason, Waiting};
use crate::domain::plate::told::{End, Told};
use crate::photos::sample as photos;
use crate::store::reader::sample::waiting;

#[tokio::test]
async fn a_vehicle_that_two_cameras_read_is_shown_from_both_ends_with_which_camera_took_it() {
    let rig = Rig::new().await;
    rig.take_a_picture("X1", "e-9", 64).await;
    let alone = rig.text("/?lang=en").await;
    assert!(!alone.contains("Front camera"), "a lane with one camera needs no words for it: {alone}");

    let told = Told { end: End::Rear, ..Told::default() };
    let mut changes = rig.photos.changes();
    let lane = LaneId::from("X1");
    for event in ["rear 1", "rear 2", "rear of another"] {
        let rear = PlateRead { told: told.clone(), ..photos::read("X1", event) };
        rig.intake.desk().take(&rear, vec![(PhotoKind::Scene, photos::jpeg(32, 48))]);
        while rig.photos.of_arrival(&lane, event).scene.is_none() {
            changes.changed().await.expect("the pictures are there");
        }
    }
    let mut due = due_at_noon(WaitReason::FeeDue);
    let read = |event: &str| ArrivalRead {
        event: event.into(),
        plate: "粤B12345".parse().expect("a plate"),
        told: told.clone(),
    };
    due.visit.reads = vec![read("rear 1")];
    due.visit.is_also("rear 2");
    rig.sample.lane("X1", &waiting(Waiting { ..due }));
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    let name = |event| rig.photos.of_arrival(&lane, event).scene.expect("kept");
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what} is not on the page: {page}"));
    let (front, rear) =
        (format!("\"/console/photos/{}\"", name("e-9")), format!("\"/console/photos/{}\"", name("rear 1")));
    let order = ["Front camera", &front, "Rear camera", &rear].map(place);
    assert!(order.is_sorted(), "{order:?}: {page}");
    for (event, status) in [("e-9", 200), ("rear 1", 200), ("rear 2", 200), ("rear of another", 404)] {
        let small =
            rig.client.get(rig.url(&format!("/console/photos/{}", name(event)))).send().await.expect("an answer");
        assert_eq!(small.status(), status, "{event}");
    }
}
