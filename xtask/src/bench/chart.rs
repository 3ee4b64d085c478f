//! Draws lines as SVG, on logarithmic axes. All colours have enough contrast on a white and on a dark page, as the picture
//! has no background; each line is named at its end.

use plotters::coord::Shift;
use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::{
    ChartBuilder, Circle, DashedLineSeries, DrawingArea, IntoDrawingArea, IntoFont, IntoLogRange, LineSeries,
    PathElement, RGBColor, SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle};

use super::numbers::grouped;
use crate::run::Result;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 420;
/// For the names of lines, on the right.
const NAMES_WIDTH: u32 = 270;
const NAMES_HEIGHT: i32 = 18;
/// Between the last points and the names.
const NAMES_GAP: i32 = 26;
/// The library makes text smaller than it is asked to, by a fifth.
const TITLE_SIZE: u32 = 21;
const TEXT_SIZE: u32 = 16;
const FONT: &str = "system-ui, sans-serif";
const INK: RGBColor = RGBColor(0x7a, 0x80, 0x88);
const TENURE_COLOUR: RGBColor = RGBColor(0xe0, 0x4f, 0x16);
const OTHER_COLOURS: [RGBColor; 10] = [
    RGBColor(0x1c, 0x7e, 0xd6),
    RGBColor(0x2f, 0x9e, 0x44),
    RGBColor(0xae, 0x3e, 0xc9),
    RGBColor(0x0c, 0x85, 0x99),
    RGBColor(0xc9, 0x7a, 0x0a),
    RGBColor(0xe6, 0x49, 0x80),
    RGBColor(0x5c, 0x7c, 0xfa),
    RGBColor(0x5c, 0x94, 0x0d),
    RGBColor(0xa0, 0x71, 0x4f),
    RGBColor(0x7b, 0x5c, 0xe8),
];

/// One plot of a picture.
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// The names of the axes.
    pub(super) across: &'static str,
    pub(super) up: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One program.
pub(super) struct Line {
    pub(super) label: String,
    pub(super) colour: LineColour,
    /// By the first number. None is 0 or less.
    pub(super) points: Vec<(f64, f64)>,
}

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineColour {
    Tenure,
    /// Dashed: it is no program that anybody uses.
    Bare,
    Other(usize),
}

impl LineColour {
    fn style(self) -> ShapeStyle {
        match self {
            LineColour::Tenure => TENURE_COLOUR.stroke_width(4),
            LineColour::Bare => INK.stroke_width(2),
            LineColour::Other(at) => OTHER_COLOURS[at % OTHER_COLOURS.len()].stroke_width(2),
        }
    }
}

impl Panel {
    /// A single point says less than the table.
    pub(super) fn has_a_line(&self) -> bool {
        self.lines.iter().any(|line| line.points.len() > 1)
    }
}

/// All panels, one below the other.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let mut text = String::new();
    {
        let height = HEIGHT * u32::try_from(panels.len())?;
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        for (panel, area) in panels.iter().zip(root.split_evenly((panels.len(), 1))) {
            draw_panel(panel, &area)?;
        }
        root.present()?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panel(panel: &Panel, area: &Area) -> Result<()> {
    let points: Vec<(f64, f64)> = panel.lines.iter().flat_map(|line| line.points.clone()).collect();
    let (least_x, most_x) = range(points.iter().map(|(x, _)| *x));
    let (least_y, most_y) = range(points.iter().map(|(_, y)| *y));
    let (bottom, top) = rounded(least_y, most_y);
    let mut places: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, text(TITLE_SIZE))
        .margin(10)
        .margin_right(NAMES_WIDTH)
        .x_label_area_size(46)
        .y_label_area_size(86)
        .build_cartesian_2d(
            (least_x..most_x).log_scale().with_key_points(places),
            (bottom..top).log_scale().with_key_points(ticks(bottom, top)),
        )?;
    chart
        .configure_mesh()
        .light_line_style(INK.mix(0.0))
        .bold_line_style(INK.mix(0.25))
        .axis_style(INK)
        .label_style(text(TEXT_SIZE))
        .axis_desc_style(text(TEXT_SIZE))
        .x_desc(panel.across)
        .y_desc(panel.up)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()?;
    let mut ends = Vec::new();
    // Tenure comes first in the list, and is drawn last, so that no line covers it.
    for line in panel.lines.iter().rev() {
        let style = line.colour.style();
        match line.colour {
            LineColour::Bare => {
                chart.draw_series(DashedLineSeries::new(line.points.iter().copied(), 6, 4, style))?;
            }
            LineColour::Tenure | LineColour::Other(_) => {
                chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
            }
        }
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, style.filled())))?;
        if let Some(last) = line.points.last() {
            ends.push((chart.backend_coord(last), line));
        }
    }
    draw_names(area, ends)
}

/// Beside the last points, moved apart where they would cover each other.
fn draw_names(area: &Area, mut ends: Vec<((i32, i32), &Line)>) -> Result<()> {
    ends.sort_by_key(|((_, y), _)| *y);
    let heights: Vec<i32> = ends.iter().map(|((_, y), _)| *y).collect();
    let (left, top) = area.get_base_pixel();
    let bottom = top + i32::try_from(HEIGHT)? - NAMES_HEIGHT;
    for (height, ((x, y), line)) in apart(&heights, bottom).into_iter().zip(ends) {
        let style = line.colour.style();
        let (x, y, height) = (x - left, y - top, height - top);
        let lead = vec![(x + 5, y), (x + NAMES_GAP - 4, height)];
        area.draw(&PathElement::new(lead, style.color.mix(0.5).stroke_width(1)))?;
        let size = if line.colour == LineColour::Tenure { TEXT_SIZE + 2 } else { TEXT_SIZE };
        let font = TextStyle::from((FONT, size).into_font()).color(&style.color);
        let font = font.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(line.label.clone(), (x + NAMES_GAP, height), font))?;
    }
    Ok(())
}

/// The heights, each at least a line below the one before, and moved up where they would leave the picture.
fn apart(heights: &[i32], bottom: i32) -> Vec<i32> {
    let mut moved: Vec<i32> = Vec::with_capacity(heights.len());
    for height in heights {
        let least = moved.last().map_or(*height, |before| before + NAMES_HEIGHT);
        moved.push((*height).max(least));
    }
    let mut most = bottom;
    for height in moved.iter_mut().rev() {
        *height = (*height).min(most);
        most = *height - NAMES_HEIGHT;
    }
    moved
}

fn text(size: u32) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font()).color(&INK)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)))
}

/// A range that begins and ends with a round number, with some space to the values.
fn rounded(least: f64, most: f64) -> (f64, f64) {
    let bottom = ticks_of(&[1.0, 2.0, 5.0], least / 10.0, least * 0.9).last().copied();
    let top = ticks_of(&[1.0, 2.0, 5.0], most * 1.1, most * 10.0).first().copied();
    (bottom.unwrap_or(least), top.unwrap_or(most))
}

/// 1, 2 and 5 times the powers of ten; the powers alone if that would be too many.
fn ticks(bottom: f64, top: f64) -> Vec<f64> {
    const COUNT_MAX: usize = 10;
    let fine = ticks_of(&[1.0, 2.0, 5.0], bottom, top);
    if fine.len() > COUNT_MAX { ticks_of(&[1.0], bottom, top) } else { fine }
}

fn ticks_of(factors: &[f64], bottom: f64, top: f64) -> Vec<f64> {
    // A power of ten is not exact below 1.
    const NEARLY: f64 = 1e-9;
    let powers = bottom.log10().floor() as i32..=top.log10().ceil() as i32;
    let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
    all.filter(|tick| *tick >= bottom * (1.0 - NEARLY) && *tick <= top * (1.0 + NEARLY)).collect()
}

/// As an axis has it: `0.5`, `200`, `10,000`, `1 M`.
fn short(number: f64) -> String {
    match number {
        number if number >= 1_000_000.0 => format!("{} M", grouped(number / 1_000_000.0)),
        number if number >= 1.0 => grouped(number),
        number => format!("{}", (number * 10_000.0).round() / 10_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_cover_each_other_and_stay_in_the_picture() {
        let n = NAMES_HEIGHT;
        assert_eq!(apart(&[10, 11, 100], 400), [10, 10 + n, 100]);
        assert_eq!(apart(&[398, 399, 400], 400), [400 - 2 * n, 400 - n, 400]);
        assert_eq!(apart(&[], 400), [0; 0]);
    }

    #[test]
    fn an_axis_has_few_round_numbers() {
        assert_eq!(ticks(80.0, 600.0), [100.0, 200.0, 500.0]);
        assert_eq!(ticks(0.9, 120_000.0), [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        assert_eq!(rounded(380.0, 900.0), (200.0, 1_000.0));
        assert_eq!(rounded(0.12, 0.95), (0.1, 2.0));
        assert_eq!([0.05, 200.0, 10_000.0, 1_000_000.0].map(short), ["0.05", "200", "10,000", "1 M"]);
    }

    #[test]
    fn a_picture_names_its_lines_and_its_axes() {
        let line = |label: &str, colour, points: &[(f64, f64)]| Line {
            label: label.to_owned(),
            colour,
            points: points.to_vec(),
        };
        let panel = Panel {
            title: "a title",
            across: "callers",
            up: "tasks a second",
            lines: vec![
                line("ours", LineColour::Tenure, &[(1.0, 300.0), (64.0, 4_000.0)]),
                line("bare", LineColour::Bare, &[(1.0, 500.0), (64.0, 9_000.0)]),
                line("one point", LineColour::Other(12), &[(64.0, 700.0)]),
            ],
        };
        assert!(panel.has_a_line());
        let picture = draw(&[panel]).expect("a picture");
        for word in ["a title", "callers", "tasks a second", "ours", "bare", "one point", "64", "5,000"] {
            assert!(picture.contains(word), "{word}: {picture}");
        }
    }
}
