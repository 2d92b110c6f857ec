//! Differences of two transcripts, drawn as a unified diff.

/// Lines around a difference.
const CONTEXT: usize = 3;

enum Edit<'a> {
    Same(&'a str),
    Left(&'a str),
    Right(&'a str),
}

/// A unified diff, or nothing when both sides are equal.
pub fn unified(left_name: &str, left: &[String], right_name: &str, right: &[String]) -> Option<String> {
    if left == right {
        return None;
    }
    let edits = edits(left, right);
    let changed: Vec<usize> =
        (0..edits.len()).filter(|&index| !matches!(edits[index], Edit::Same(_))).collect();
    let mut text = format!("--- {left_name}\n+++ {right_name}\n");
    let mut last_shown = None;
    for (index, edit) in edits.iter().enumerate() {
        let near = changed.iter().any(|&change| change.abs_diff(index) <= CONTEXT);
        if !near {
            continue;
        }
        if last_shown.is_none_or(|last| last + 1 != index) {
            text.push_str("@@\n");
        }
        last_shown = Some(index);
        match edit {
            Edit::Same(line) => text.push_str(&format!(" {line}\n")),
            Edit::Left(line) => text.push_str(&format!("-{line}\n")),
            Edit::Right(line) => text.push_str(&format!("+{line}\n")),
        }
    }
    Some(text)
}

/// The longest common subsequence by the textbook table; transcripts are short.
fn edits<'a>(left: &'a [String], right: &'a [String]) -> Vec<Edit<'a>> {
    let width = right.len() + 1;
    let mut common = vec![0_u32; (left.len() + 1) * width];
    for row in (0..left.len()).rev() {
        for column in (0..right.len()).rev() {
            common[row * width + column] = if left[row] == right[column] {
                common[(row + 1) * width + column + 1] + 1
            } else {
                common[(row + 1) * width + column].max(common[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut edits = Vec::new();
    while row < left.len() || column < right.len() {
        if row < left.len() && column < right.len() && left[row] == right[column] {
            edits.push(Edit::Same(&left[row]));
            row += 1;
            column += 1;
        } else if column == right.len()
            || (row < left.len() && common[(row + 1) * width + column] >= common[row * width + column + 1])
        {
            edits.push(Edit::Left(&left[row]));
            row += 1;
        } else {
            edits.push(Edit::Right(&right[column]));
            column += 1;
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn equal_sides_have_no_difference() {
        assert_eq!(unified("a", &lines("x y"), "b", &lines("x y")), None);
    }

    #[test]
    fn a_changed_line_is_drawn_with_its_neighbours() {
        let text = unified("go", &lines("a b c d e f g h i"), "midge", &lines("a b c d X f g h i"))
            .expect("differs");
        assert_eq!(text, "--- go\n+++ midge\n@@\n b\n c\n d\n-e\n+X\n f\n g\n h\n");
    }
}
