//! What people complain about in the generated city: kinds, how often they come, and how fast they are dealt
//! with.

/// How long a kind of request usually stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Hours,
    Days,
    Weeks,
    Months,
}

#[derive(Clone, Copy, Debug)]
pub struct ComplaintKind {
    pub agency: usize,
    pub complaint_type: &'static str,
    pub descriptors: &'static [&'static str],
    pub location_types: &'static [&'static str],
    pub pace: Pace,
    /// Requests in ten thousand, from May to September and from October to April.
    pub warm: u64,
    pub cold: u64,
}

pub struct Agency {
    pub code: &'static str,
    pub name: &'static str,
    /// What it writes when it closes a request. Texts are ready for JSON.
    pub closings: &'static [&'static str],
    pub progress: &'static str,
}

pub const NYPD: usize = 0;
pub const HPD: usize = 1;
pub const DSNY: usize = 2;
pub const DOT: usize = 3;
pub const DEP: usize = 4;
pub const DPR: usize = 5;
pub const DOB: usize = 6;
pub const DHS: usize = 7;
pub const DOHMH: usize = 8;
pub const DCWP: usize = 9;
pub const TLC: usize = 10;
pub const EDC: usize = 11;

pub const AGENCIES: [Agency; 12] = [
    Agency {
        code: "NYPD",
        name: "New York City Police Department",
        closings: &[
            "Officers went to the location and saw no sign of the reported violation when they arrived.",
            "Officers went to the location and took action to correct the condition.",
            "Officers went to the location and found that no police action was needed.",
            "Those responsible for the condition were gone by the time the officers arrived at the location.",
        ],
        progress: "The precinct has received this request and will send officers when they are free.",
    },
    Agency {
        code: "HPD",
        name: "Department of Housing Preservation and Development",
        closings: &[
            "An inspector visited the building and issued no violation for the reported conditions. This complaint is closed.",
            "An inspector visited the building and issued violations for the reported conditions. The owner has to correct them in time.",
            "The department spoke with a tenant of the building, who said that the condition had been corrected. This complaint is closed.",
            "The inspector could not get into the apartment. A notice was left with the times at which a new visit can be arranged.",
        ],
        progress: "The department has told the building's owner or manager of the complaint. An inspector will follow if it is not corrected.",
    },
    Agency {
        code: "DSNY",
        name: "Department of Sanitation",
        closings: &[
            "The department looked into this complaint and found no violation at the location.",
            "The department cleaned the location that was reported.",
            "The department looked into this complaint and issued a notice of violation.",
        ],
        progress: "The request was passed to the district garage that serves the location.",
    },
    Agency {
        code: "DOT",
        name: "Department of Transportation",
        closings: &[
            "The department inspected the condition and repaired it.",
            "The department inspected the condition and opened a repair order; the work is now complete.",
            // Encoded twice, by the city itself.
            "The state of this request can be seen on the Department of Transportation\u{e2}\u{80}\u{99}s website. Please use the \u{e2}\u{80}\u{9c}Learn More\u{e2}\u{80}\u{9d} link.",
            "The department inspected the location and did not find the condition that was reported.",
        ],
        progress: "The department has scheduled an inspection of the condition.",
    },
    Agency {
        code: "DEP",
        name: "Department of Environmental Protection",
        closings: &[
            "The inspector saw no violation of the air and noise code at the time of the visit and could not issue a notice. If the problem goes on, please file a new complaint with the times at which it occurs.",
            "The crew inspected the location and could not find the problem that was reported. If it goes on, please file a new complaint with more details about the location.",
            "The crew inspected the location and corrected the problem.",
        ],
        progress: "The department has opened a work order and will send a crew.",
    },
    Agency {
        code: "DPR",
        name: "Department of Parks and Recreation",
        closings: &[
            "The work that was needed to correct the condition is complete.",
            "The site was inspected and the condition was found to need no work.",
            "An inspection found that the condition is not within the department's jurisdiction.",
        ],
        progress: "The site will be inspected, and work scheduled by its priority.",
    },
    Agency {
        code: "DOB",
        name: "Department of Buildings",
        closings: &[
            "The department looked into this complaint and found that no further action was needed.",
            "The department reviewed this complaint and closed it. If the problem still exists, please file a new complaint.",
            "An inspector visited the site and issued a violation.",
        ],
        progress: "The request has been handed to the department's borough office. Please come back later for its status.",
    },
    Agency {
        code: "DHS",
        name: "Department of Homeless Services",
        closings: &[
            "The outreach team went to the location and could not find the person who was reported.",
            "The outreach team met the person and offered services, which were not accepted.",
        ],
        progress: "An outreach team has been told and is on its way.",
    },
    Agency {
        code: "DOHMH",
        name: "Department of Health and Mental Hygiene",
        closings: &[
            "The department found violations on the property and will inspect it again.",
            "The department closed this request because an earlier one about the same location is open.",
        ],
        progress: "The department will inspect the property or write to its owner.",
    },
    Agency {
        code: "DCWP",
        name: "Department of Consumer and Worker Protection",
        closings: &[
            "The complaint was reviewed, and the business was told of the law.",
            "The department could not reach the person who complained.",
        ],
        progress: "The complaint is being reviewed.",
    },
    Agency {
        code: "TLC",
        name: "Taxi and Limousine Commission",
        closings: &[
            "The commission reviewed the complaint and closed it without a hearing.",
            "See notes for information.",
        ],
        progress: "The commission is reviewing the complaint.",
    },
    Agency {
        code: "EDC",
        name: "Economic Development Corporation",
        closings: &["The complaint was added to the operators' monthly report."],
        progress: "The complaint was received.",
    },
];

const fn kind(
    agency: usize,
    complaint_type: &'static str,
    descriptors: &'static [&'static str],
    location_types: &'static [&'static str],
    pace: Pace,
    warm: u64,
    cold: u64,
) -> ComplaintKind {
    ComplaintKind { agency, complaint_type, descriptors, location_types, pace, warm, cold }
}

const HOME: &[&str] = &["Residential Building/House"];
const STREET: &[&str] = &["Street/Sidewalk"];
const BUILDING: &[&str] = &["RESIDENTIAL BUILDING"];
const CURB: &[&str] = &["Sidewalk", "Street"];
const PARK: &[&str] = &["Park", "Street/Curbside"];
const ANYWHERE: &[&str] = &["Street/Sidewalk", "Residential Building/House", "Store/Commercial", "Subway"];
const NONE: &[&str] = &[];
const NOT_STATED: &[&str] = &["N/A"];

use Pace::{Days, Hours, Months, Weeks};

/// Some types belong to two agencies, some differ by case alone: the key is agency and type.
#[rustfmt::skip]
pub const KINDS: [ComplaintKind; 62] = [
    kind(NYPD, "Noise - Residential", &["Loud Music/Party", "Loud Music/Party", "Banging/Pounding", "Loud Talking", "Loud Television"], HOME, Hours, 1500, 1100),
    kind(NYPD, "Illegal Parking", &["Blocked Hydrant", "Posted Parking Sign Violation", "Blocked Sidewalk", "Commercial Overnight Parking", "Double Parked Blocking Traffic"], STREET, Hours, 1580, 1600),
    kind(NYPD, "Noise - Street/Sidewalk", &["Loud Music/Party", "Loud Music/Party", "Loud Talking"], STREET, Hours, 900, 250),
    kind(NYPD, "Blocked Driveway", &["No Access", "No Access", "Partial Access"], STREET, Hours, 500, 480),
    kind(NYPD, "Noise - Commercial", &["Loud Music/Party", "Loud Talking", "Banging/Pounding", "Car/Truck Music"], &["Store/Commercial", "Club/Bar/Restaurant"], Hours, 340, 200),
    kind(HPD, "HEAT/HOT WATER", &["ENTIRE BUILDING", "ENTIRE BUILDING", "APARTMENT ONLY"], BUILDING, Days, 150, 1000),
    kind(HPD, "UNSANITARY CONDITION", &["PESTS", "PESTS", "MOLD", "GARBAGE/RECYCLING STORAGE", "SEWAGE"], BUILDING, Weeks, 235, 230),
    kind(DPR, "Damaged Tree", &["Branch or Limb Has Fallen Down", "Entire Tree Has Fallen Down", "Branch Cracked and Will Fall"], &["Street"], Weeks, 190, 80),
    kind(DOT, "Street Condition", &["Pothole", "Pothole", "Cave-in", "Defective Hardware", "Failed Street Repair"], &["Street"], Days, 200, 260),
    kind(DEP, "Water System", &["Fire Hydrant Emergency (FHE)", "Hydrant Running (WC3)", "Leak (Use Comments) (WA2)", "No Water (WNW)"], NONE, Hours, 220, 140),
    kind(NYPD, "Noise - Vehicle", &["Car/Truck Music", "Car/Truck Horn", "Engine Idling"], STREET, Hours, 210, 110),
    kind(NYPD, "Abandoned Vehicle", &["With License Plate"], STREET, Hours, 170, 180),
    kind(DSNY, "Dirty Condition", &["Trash", "Trash", "Dog Waste", "Broken Glass"], CURB, Days, 160, 140),
    kind(DEP, "Noise", &["Noise: Construction Before/After Hours (NM1)", "Noise, Barking Dog (NR5)", "Noise: Alarms (NR3)", "Noise: Construction Equipment (NC1)"], NONE, Days, 150, 120),
    kind(HPD, "PLUMBING", &["WATER SUPPLY", "BASIN/SINK", "BATHTUB/SHOWER", "TOILET"], BUILDING, Weeks, 135, 150),
    kind(DPR, "Maintenance or Facility", &["Structure - Outdoors", "Garbage or Litter", "Rodent Sighting", "Grass/Weeds"], PARK, Weeks, 110, 60),
    kind(DSNY, "Missed Collection", &["Trash", "Compost", "Bulky Trash", "Recycling - Paper"], &["Street"], Days, 105, 120),
    kind(HPD, "PAINT/PLASTER", &["WALL", "CEILING", "RADIATOR"], BUILDING, Weeks, 100, 120),
    kind(DHS, "Homeless Person Assistance", &["Non-Chronic", "Non-Chronic", "Chronic"], ANYWHERE, Hours, 100, 130),
    kind(DSNY, "Illegal Dumping", &["Removal Request", "Removal Request", "Chronic Dumping"], CURB, Days, 90, 85),
    kind(DOT, "Traffic Signal Condition", &["Controller", "Veh Signal Lamp", "Pedestrian Signal"], NONE, Hours, 90, 100),
    kind(DEP, "Sewer", &["Sewer Backup (Use Comments) (SA)", "Catch Basin Clogged/Flooding (Use Comments) (SC)", "Street Flooding (SJ)"], NONE, Hours, 90, 85),
    kind(HPD, "DOOR/WINDOW", &["DOOR", "DOOR", "WINDOW FRAME", "WINDOW PANE"], BUILDING, Weeks, 85, 100),
    kind(NYPD, "Encampment", NOT_STATED, ANYWHERE, Hours, 80, 90),
    kind(DHS, "Encampment", NOT_STATED, ANYWHERE, Days, 35, 40),
    kind(DOB, "General Construction/Plumbing", &["Building Permit - None", "Sidewalk Shed - Inadequate/None", "Fence - None/Inadequate"], NONE, Weeks, 80, 75),
    kind(DPR, "Overgrown Tree/Branches", &["Hitting Building", "Blocking Street", "Dead Branches in Tree"], &["Street"], Months, 80, 25),
    kind(HPD, "GENERAL", &["BELL/BUZZER/INTERCOM", "CABINET", "COOKING GAS", "VENTILATION SYSTEM"], BUILDING, Weeks, 72, 78),
    kind(NYPD, "Non-Emergency Police Matter", &["Other (complaint details)", "Trespassing"], ANYWHERE, Hours, 70, 65),
    kind(DSNY, "Vendor Enforcement", &["Food Vendor", "Non-Food Vendor"], &["Street"], Hours, 70, 40),
    kind(HPD, "WATER LEAK", &["HEAVY FLOW", "SLOW LEAK", "DAMP SPOT"], BUILDING, Weeks, 65, 85),
    kind(DOHMH, "Rodent", &["Rat Sighting", "Rat Sighting", "Condition Attracting Rodents", "Signs of Rodents"], &["3+ Family Apt. Building", "1-2 Family Dwelling"], Weeks, 65, 45),
    kind(DSNY, "Rodent", &["Rat Sighting"], CURB, Days, 4, 3),
    kind(DOT, "Street Light Condition", &["Street Light Out", "Street Light Out", "Fixture/Luminaire Hanging"], NONE, Weeks, 62, 90),
    kind(HPD, "ELECTRIC", &["POWER OUTAGE", "OUTLET/SWITCH", "NO LIGHTING"], BUILDING, Weeks, 60, 65),
    kind(DCWP, "Consumer Complaint", &["Restaurant", "Tow Truck Company", "Bodega, Deli, or Convenience Store", "Stoop Line Stand"], &["Business"], Weeks, 52, 52),
    kind(DSNY, "Obstruction", &["Cone", "Trash or Recycling", "Weeds or Grass"], CURB, Days, 50, 40),
    kind(TLC, "For Hire Vehicle Complaint", &["Driver Complaint - Non Passenger", "Driver Complaint - Passenger"], &["Street"], Months, 50, 50),
    kind(HPD, "FLOORING/STAIRS", &["FLOOR", "STAIRS"], BUILDING, Weeks, 46, 50),
    kind(DOT, "Sidewalk Condition", &["Broken Sidewalk", "Sidewalk Violation", "Blocked - Construction"], &["Sidewalk"], Weeks, 46, 40),
    kind(NYPD, "Noise - Park", &["Loud Music/Party", "Loud Talking"], &["Park/Playground"], Hours, 45, 8),
    kind(DOB, "Elevator", &["Elevator - Single Device On Property/No Alternate Service", "Elevator - Multiple Devices On Property"], NONE, Weeks, 45, 42),
    kind(HPD, "ELEVATOR", &["ELEVATOR NOT WORKING"], BUILDING, Weeks, 6, 6),
    kind(DOB, "Building/Use", &["Illegal Conversion Of Residential Building/Space", "No Certificate Of Occupancy/Illegal/Contrary To CO"], NONE, Months, 43, 40),
    kind(HPD, "APPLIANCE", &["ELECTRIC/GAS RANGE", "REFRIGERATOR"], BUILDING, Weeks, 38, 40),
    kind(DOHMH, "Food Establishment", &["Rodents/Insects/Garbage", "Pet/Animal", "Food Spoiled"], &["Restaurant/Bar/Deli/Bakery"], Months, 37, 34),
    kind(NYPD, "Illegal Fireworks", NOT_STATED, ANYWHERE, Hours, 60, 4),
    kind(DPR, "Dead/Dying Tree", &["Planted More Than 2 Years Ago", "Planted Less Than 2 Years Ago"], &["Street"], Months, 35, 10),
    kind(DSNY, "Dead Animal", &["Cat", "Rat or Mouse", "Opossum", "Raccoon"], CURB, Days, 32, 25),
    kind(NYPD, "Panhandling", NOT_STATED, ANYWHERE, Hours, 31, 25),
    kind(TLC, "Taxi Complaint", &["Driver Complaint - Passenger", "Driver Complaint - Non Passenger"], &["Street"], Months, 29, 28),
    kind(DSNY, "Graffiti", &["Graffiti"], &["Mixed Use", "Residential"], Weeks, 28, 20),
    kind(DPR, "Violation of Park Rules", &["Unlicensed Vendors", "Obstructing Public Use", "BBQ Outside Authorized Area"], PARK, Days, 26, 10),
    kind(HPD, "SAFETY", &["FIRE ESCAPE", "SMOKE DETECTOR", "CARBON MONOXIDE DETECTOR"], BUILDING, Weeks, 25, 26),
    kind(DPR, "Animal in a Park", &["Dog Off Leash", "Injured Wildlife", "Dead Animal"], PARK, Days, 25, 15),
    kind(DOHMH, "Indoor Air Quality", &["Chemical Vapors/Gases/Odors", "Ventilation", "Sewage Odor"], &["3+ Family Apartment Building"], Weeks, 24, 26),
    kind(NYPD, "Animal-Abuse", &["Neglected", "Other (complaint details)", "Chained"], HOME, Hours, 24, 18),
    kind(DEP, "Lead", &["Lead Kit Request (Residential) (L10)"], NONE, Days, 24, 22),
    kind(EDC, "Noise - Helicopter", &["Other", "NYPD", "News Gathering"], &["Above Address"], Months, 23, 8),
    kind(DOB, "Plumbing", &["Plumbing Work - Illegal/No Permit"], NONE, Weeks, 10, 10),
    kind(DPR, "New Tree Request", &["For One Address"], &["Street"], Months, 20, 12),
    kind(DSNY, "DIRTY CONDITION", &["Trash"], CURB, Days, 1, 1),
];
