//! Both curves as one picture.

use std::error::Error;

use plotters::prelude::*;

use crate::{Curve, experiment::Runner};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/nexios/docs/overload.svg"
);
/// The second curve is wide, because the third lies on it.
const STROKES: [(RGBColor, u32); 3] = [
    (RGBColor(27, 110, 60), 2),
    (RGBColor(225, 180, 90), 6),
    (RGBColor(180, 40, 40), 2),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

pub(crate) fn draw(
    over_load: &[(Runner, Curve)],
    over_time: &[(Runner, Curve)],
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(FILE, (960, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(480);
    panel(
        &left,
        "Goodput over offered load",
        "offered load / capacity",
        over_load,
        0.5..3.0,
    )?;
    panel(
        &right,
        "Goodput at twice the capacity",
        "seconds",
        over_time,
        0.0..4.0,
    )?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &Area<'_>,
    title: &str,
    along: &str,
    curves: &[(Runner, Curve)],
    range: std::ops::Range<f64>,
) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(range, 0.0..1.2)?;
    chart
        .configure_mesh()
        .max_light_lines(1)
        .light_line_style(WHITE)
        .x_desc(along)
        .y_desc("results in time / capacity")
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .draw()?;
    for ((runner, curve), (color, width)) in curves.iter().zip(STROKES) {
        chart
            .draw_series(LineSeries::new(
                curve.iter().copied(),
                color.stroke_width(width),
            ))?
            .label(runner.name())
            .legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], color.stroke_width(width))
            });
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    Ok(())
}
