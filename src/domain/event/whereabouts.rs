//! Which lane an input speaks of.

use super::{Input, LaneId, ShownAt};

impl Input {
    /// The lane that an input speaks of.
    pub fn lane(&self) -> Option<&LaneId> {
        match self {
            Input::PlateRead(read) | Input::VehicleFollowed(read) => Some(&read.lane),
            Input::Staff(act) => Some(&act.lane),
            Input::LimitSwitch(told) => Some(&told.lane),
            Input::Started { lane }
            | Input::LoopChanged { lane, .. }
            | Input::VehicleSeen { lane, .. }
            | Input::BarrierAnswered { lane, .. }
            | Input::BarrierMoved { lane, .. }
            | Input::CardRead { lane, .. }
            | Input::LaneDue { lane }
            | Input::LaneReconsidered { lane }
            | Input::LaneDevice { lane, .. }
            | Input::LaneEmergency { lane, .. } => Some(lane),
            Input::MemberShown(shown) => match &shown.at {
                ShownAt::Till { .. } => None,
                ShownAt::Lane { lane } => Some(lane),
            },
            Input::Till(_)
            | Input::TillAct(_)
            | Input::TillHoldDue { .. }
            | Input::Office(_)
            | Input::TerminalChanged(_)
            | Input::DayClosing(_)
            | Input::Cloud(_)
            | Input::Witnessed(_)
            | Input::Undo(_)
            | Input::DeviceLost { .. }
            | Input::DeviceBack { .. }
            | Input::Emergency { .. }
            | Input::ExperienceForgotten { .. }
            | Input::RulesOffered { .. }
            | Input::Corrected(_)
            | Input::DayEnded(_) => None,
        }
    }
}
