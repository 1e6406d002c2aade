/// What is wrong with a schema, a grammar or a regular expression, and where.
package struct GrammarError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// The text is not of its syntax.
        case syntax
        /// Something that is allowed there, but cannot be enforced.
        case unsupported
        /// It would take more states than are sensible.
        case tooLarge
        /// No answer obeys it.
        case unsatisfiable
    }

    package let code: Code
    /// "schema", "grammar", "regular expression"; the caller may set a file's name before it.
    package var subject: String
    /// A JSON pointer with the keyword, a line and column, or a character's place.
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
