/// A regular expression in the syntax of ECMA-262, restricted to regular languages: no look-around, back-references or
/// word boundaries. Lazy and greedy quantifiers match the same.
indirect enum RegularExpression: Sendable, Hashable {
    case empty
    case scalars(ScalarSet)
    case sequence([RegularExpression])
    case alternatives([RegularExpression])
    /// `max` is nil for unbounded.
    case repeated(RegularExpression, min: Int, max: Int?)
    /// `^` and `$`.
    case start, end

    /// - Throws: `GrammarError` with `syntax` or `unsupported`; its place is the index of the character, from 1.
    init(parsing text: String, subject: String = "regular expression") throws(GrammarError) {
        var parser = Parser(text, subject)
        self = try parser.whole()
    }

    static func text(_ text: String) -> RegularExpression {
        .sequence(text.unicodeScalars.map { .scalars(ScalarSet([$0.value...$0.value])) })
    }

    /// Whether it syntactically matches only the empty text.
    var isNothing: Bool {
        switch self {
        case .empty: true
        case .sequence(let parts), .alternatives(let parts): parts.allSatisfy(\.isNothing)
        case .repeated(let inner, _, let max): max == 0 || inner.isNothing
        case .scalars, .start, .end: false
        }
    }

    /// Maximum number of repetitions that are expanded.
    static let repetitionLimit = 5000

    private struct Parser {
        private let scalars: [Unicode.Scalar]
        private let subject: String
        private var place = 0
        private var depth = 0

        init(_ text: String, _ subject: String) { (scalars, self.subject) = (Array(text.unicodeScalars), subject) }

        mutating func whole() throws(GrammarError) -> RegularExpression {
            let expression = try alternatives()
            if place < scalars.count { throw failure("a '(' for every ')'") }
            return expression
        }

        private mutating func alternatives() throws(GrammarError) -> RegularExpression {
            depth += 1
            defer { depth -= 1 }
            guard depth <= 200 else { throw failure("at most 200 levels of parentheses", .tooLarge) }
            var alternatives = [try sequence()]
            while take("|") { alternatives.append(try sequence()) }
            return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
        }

        private mutating func sequence() throws(GrammarError) -> RegularExpression {
            var parts: [RegularExpression] = []
            while let next = peek, next != "|", next != ")" {
                let start = place
                let atom = try self.atom()
                guard let (min, max) = try quantifier() else {
                    parts.append(atom)
                    continue
                }
                if atom == .start || atom == .end { throw failure("no quantifier after an anchor", at: start) }
                parts.append(.repeated(atom, min: min, max: max))
            }
            return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
        }

        private mutating func atom() throws(GrammarError) -> RegularExpression {
            let start = place
            let scalar = scalars[place]
            place += 1
            switch scalar {
            case "(":
                if take("?") {
                    if take(":") {
                    } else if take("<"), peek != "=", peek != "!" {
                        while let next = peek, next != ">" { place += next == ")" ? scalars.count : 1 }
                        guard take(">") else { throw failure("'>' after the name of a group", at: start) }
                    } else {
                        throw failure(
                            "a group without look-around or flags", .unsupported,
                            found: text(from: start, count: 4), at: start)
                    }
                }
                let inner = try alternatives()
                guard take(")") else { throw failure("')' for this '('", at: start) }
                return inner
            case "[": return .scalars(try characterClass(from: start))
            case ".": return .scalars(ScalarSet("\n\r\u{2028}\u{2029}").inverted)
            case "^": return .start
            case "$": return .end
            case "\\": return .scalars(try escape(from: start, inClass: false))
            case "*", "+", "?": throw failure("something that '\(scalar)' repeats", at: start)
            default: return .scalars(ScalarSet([scalar.value...scalar.value]))
            }
        }

        private mutating func quantifier() throws(GrammarError) -> (min: Int, max: Int?)? {
            let start = place
            var range: (min: Int, max: Int?)
            if take("*") {
                range = (0, nil)
            } else if take("+") {
                range = (1, nil)
            } else if take("?") {
                range = (0, 1)
            } else if peek == "{" {
                place += 1
                guard let low = number() else {
                    // ECMA-262 without the u flag: a brace that does not form a quantifier is a literal.
                    place = start
                    return nil
                }
                range = (low, low)
                if take(",") { range.max = number() }
                guard take("}") else {
                    place = start
                    return nil
                }
                if let high = range.max, high < low { throw failure("a maximum of \(low) or more", at: start) }
            } else {
                return nil
            }
            guard max(range.min, range.max ?? 0) <= RegularExpression.repetitionLimit else {
                throw failure(
                    "at most \(RegularExpression.repetitionLimit) repetitions", .tooLarge,
                    found: "\(max(range.min, range.max ?? 0))", at: start)
            }
            if take("+") { throw failure("no possessive quantifier", .unsupported, at: start) }
            _ = take("?")
            return range
        }

        private mutating func number() -> Int? {
            var value: Int?
            while let digit = peek.flatMap({ Int(String($0)) }), peek!.isASCII {
                value = min((value ?? 0) * 10 + digit, 1_000_000)
                place += 1
            }
            return value
        }

        private mutating func characterClass(from start: Int) throws(GrammarError) -> ScalarSet {
            let isInverted = take("^")
            var set = ScalarSet()
            while !take("]") {
                guard place < scalars.count else { throw failure("']' for this '['", at: start) }
                let first = try classMember()
                if peek == "-", place + 1 < scalars.count, scalars[place + 1] != "]",
                    let low = first.ranges.first, low.count == 1, first.ranges.count == 1
                {
                    let dash = place
                    place += 1
                    let last = try classMember()
                    if let high = last.ranges.first, high.count == 1, last.ranges.count == 1 {
                        guard low.lowerBound <= high.lowerBound else {
                            throw failure("a range whose end is not before its start", at: dash - 1)
                        }
                        set = set.union(
                            ScalarSet([low.lowerBound...high.lowerBound]).intersection(.all))
                    } else {
                        set = set.union(first).union(last).union(ScalarSet("-"))
                    }
                } else {
                    set = set.union(first)
                }
            }
            return isInverted ? set.inverted : set
        }

        private mutating func classMember() throws(GrammarError) -> ScalarSet {
            let start = place
            let scalar = scalars[place]
            place += 1
            if scalar == "\\" { return try escape(from: start, inClass: true) }
            return ScalarSet([scalar.value...scalar.value])
        }

        /// Parses an escape after its backslash.
        private mutating func escape(from start: Int, inClass: Bool) throws(GrammarError) -> ScalarSet {
            guard place < scalars.count else { throw failure("a character after '\\'", at: start) }
            let scalar = scalars[place]
            place += 1
            switch scalar {
            case "d": return CharacterClass.digit
            case "D": return CharacterClass.digit.inverted
            case "w": return CharacterClass.word
            case "W": return CharacterClass.word.inverted
            case "s": return CharacterClass.space
            case "S": return CharacterClass.space.inverted
            case "p", "P":
                guard take("{"), let end = scalars[place...].firstIndex(of: "}") else {
                    throw failure("'{', a property's name and '}' after '\\\(scalar)'", at: start)
                }
                let name = scalars[place..<end].reduce(into: "") { $0.unicodeScalars.append($1) }
                place = end + 1
                guard let set = CharacterClass.property(name) else {
                    throw failure("a general category of Unicode", .unsupported, found: "\\p{\(name)}", at: start)
                }
                return scalar == "p" ? set : set.inverted
            case "n": return ScalarSet("\n")
            case "r": return ScalarSet("\r")
            case "t": return ScalarSet("\t")
            case "f": return ScalarSet("\u{c}")
            case "v": return ScalarSet("\u{b}")
            case "b" where inClass: return ScalarSet("\u{8}")
            case "0" where peek.map { !CharacterClass.digit.contains($0) } ?? true: return ScalarSet("\0")
            case "c":
                guard let letter = peek, letter.isASCII, letter.properties.isAlphabetic else {
                    throw failure("a letter after '\\c'", at: start)
                }
                place += 1
                return ScalarSet([letter.value % 32...letter.value % 32])
            case "x": return try hexadecimal(2, from: start)
            case "u":
                if take("{") {
                    guard let end = scalars[place...].firstIndex(of: "}"), end - place <= 6, end > place else {
                        throw failure("up to six hexadecimal digits and '}'", at: start)
                    }
                    let set = try hexadecimal(end - place, from: start)
                    place += 1
                    return set
                }
                return try hexadecimal(4, from: start)
            case "b", "B", "k", "1"..."9", "A", "z", "Z", "G":
                throw failure(
                    "no word boundary, back-reference or anchor of this kind", .unsupported, found: "\\\(scalar)",
                    at: start)
            default:
                guard scalar.isASCII, !CharacterClass.word.contains(scalar) || scalar == "_" else {
                    throw failure("an escape of ECMA-262", found: "\\\(scalar)", at: start)
                }
                return ScalarSet([scalar.value...scalar.value])
            }
        }

        private mutating func hexadecimal(_ count: Int, from start: Int) throws(GrammarError) -> ScalarSet {
            let digits = scalars[place..<min(place + count, scalars.count)].reduce(into: "") {
                $0.unicodeScalars.append($1)
            }
            guard digits.utf8.count == count, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
                var value = UInt32(digits, radix: 16)
            else { throw failure("\(count) hexadecimal digits", at: start) }
            place += count
            // A surrogate pair is one scalar.
            if count == 4, value >> 10 == 0xD800 >> 10, peek == "\\", place + 5 < scalars.count,
                scalars[place + 1] == "u"
            {
                let low = scalars[place + 2..<place + 6].reduce(into: "") { $0.unicodeScalars.append($1) }
                if let half = UInt32(low, radix: 16), half >> 10 == 0xDC00 >> 10 {
                    place += 6
                    value = 0x10000 + (value & 0x3FF) << 10 + (half & 0x3FF)
                }
            }
            guard Unicode.Scalar(value) != nil else { throw failure("a Unicode scalar", found: digits, at: start) }
            return ScalarSet([value...value])
        }

        // MARK: Single scalars

        private var peek: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

        private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            guard peek == scalar else { return false }
            place += 1
            return true
        }

        private func text(from start: Int, count: Int) -> String {
            "'" + scalars[start..<min(start + count, scalars.count)].reduce(into: "") { $0.unicodeScalars.append($1) }
                + "'"
        }

        private func failure(
            _ expected: String, _ code: GrammarError.Code = .syntax, found: String? = nil, at start: Int? = nil
        ) -> GrammarError {
            let start = start ?? place
            return GrammarError(
                code, subject, place: "character \(start + 1)", expected: expected,
                found: found ?? (start < scalars.count ? text(from: start, count: 8) : "the end"))
        }
    }
}

/// Named sets of scalars.
enum CharacterClass {
    static let digit = ScalarSet([0x30...0x39])
    static let word = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    /// ECMA-262, WhiteSpace and LineTerminator.
    static let space = ScalarSet([
        0x9...0xD, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
        0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])

    /// A general category by its short or long name.
    static func property(_ name: String) -> ScalarSet? {
        let name = name.hasPrefix("General_Category=") ? String(name.dropFirst(17)) : name
        if name == "ASCII" { return ScalarSet([0...0x7F]) }
        guard let categories = Self.categories[name] else { return nil }
        var ranges: [ClosedRange<UInt32>] = []
        for range in ScalarSet.all.ranges {
            for value in range where categories.contains(Unicode.Scalar(value)!.properties.generalCategory) {
                if let last = ranges.last, last.upperBound + 1 == value {
                    ranges[ranges.count - 1] = last.lowerBound...value
                } else {
                    ranges.append(value...value)
                }
            }
        }
        return ScalarSet(ranges)
    }

    private static let categories: [String: Set<Unicode.GeneralCategory>] = {
        let letters: Set<Unicode.GeneralCategory> = [
            .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
        ]
        let numbers: Set<Unicode.GeneralCategory> = [.decimalNumber, .letterNumber, .otherNumber]
        let punctuation: Set<Unicode.GeneralCategory> = [
            .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation,
        ]
        let marks: Set<Unicode.GeneralCategory> = [.nonspacingMark, .spacingMark, .enclosingMark]
        let symbols: Set<Unicode.GeneralCategory> = [.mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol]
        let separators: Set<Unicode.GeneralCategory> = [.spaceSeparator, .lineSeparator, .paragraphSeparator]
        return [
            "L": letters, "Letter": letters, "N": numbers, "Number": numbers, "P": punctuation,
            "Punctuation": punctuation, "M": marks, "Mark": marks, "S": symbols, "Symbol": symbols, "Z": separators,
            "Separator": separators, "Lu": [.uppercaseLetter], "Uppercase_Letter": [.uppercaseLetter],
            "Ll": [.lowercaseLetter], "Lowercase_Letter": [.lowercaseLetter], "Lt": [.titlecaseLetter],
            "Lm": [.modifierLetter], "Lo": [.otherLetter], "Nd": [.decimalNumber], "digit": [.decimalNumber],
            "Decimal_Number": [.decimalNumber], "Nl": [.letterNumber], "No": [.otherNumber],
            "Pc": [.connectorPunctuation], "Pd": [.dashPunctuation], "Ps": [.openPunctuation],
            "Pe": [.closePunctuation], "Pi": [.initialPunctuation], "Pf": [.finalPunctuation],
            "Po": [.otherPunctuation], "Mn": [.nonspacingMark], "Mc": [.spacingMark], "Me": [.enclosingMark],
            "Sm": [.mathSymbol], "Sc": [.currencySymbol], "Sk": [.modifierSymbol], "So": [.otherSymbol],
            "Zs": [.spaceSeparator], "Zl": [.lineSeparator], "Zp": [.paragraphSeparator],
        ]
    }()
}
