/// An invalid schema, grammar or regular expression, and the place of the error.
package struct GrammarError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// A syntax error.
        case syntax
        /// A valid construct that cannot be enforced.
        case unsupported
        /// It would need too many states.
        case tooLarge
        /// No answer satisfies it.
        case unsatisfiable
    }

    package let code: Code
    /// "schema", "grammar", "regular expression"; callers may prepend a file name.
    package var subject: String
    /// A JSON pointer with the keyword, a line and column, or the index of a character.
    package let place: String
    package let expected: String
    package let found: String
    package let remedy: String?

    package init(
        _ code: Code, _ subject: String, place: String, expected: String, found: String, remedy: String? = nil
    ) {
        (self.code, self.subject, self.place) = (code, subject, place)
        (self.expected, self.found, self.remedy) = (expected, found, remedy)
    }

    package var description: String {
        "\(subject), \(place): expected \(expected), found \(found)." + (remedy.map { " \($0)" } ?? "")
    }
}
