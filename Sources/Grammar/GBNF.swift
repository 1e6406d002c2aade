extension Grammar {
    /// - Parameter gbnf: a grammar as described in llama.cpp's `grammars/README.md`; answers are derived from `root`.
    /// - Throws: `GrammarError`; its place is a line and a column, both from 1.
    package init(gbnf text: String) throws(GrammarError) {
        var parser = GBNFParser(text)
        let rules = try parser.rules()
        var compiler = GBNFCompiler(rules)
        self.init(try compiler.network())
    }
}

/// The body of a rule.
private indirect enum GBNFExpression {
    case text([Unicode.Scalar])
    case scalars(ScalarSet)
    case rule(String, place: String)
    case sequence([GBNFExpression])
    case alternatives([GBNFExpression])
    case repeated(GBNFExpression, min: Int, max: Int?)

    /// Whether it syntactically derives only the empty text.
    var isNothing: Bool {
        switch self {
        case .text(let scalars): scalars.isEmpty
        case .sequence(let parts), .alternatives(let parts): parts.allSatisfy(\.isNothing)
        case .repeated(let inner, _, let max): max == 0 || inner.isNothing
        case .scalars, .rule: false
        }
    }
}

private struct GBNFParser {
    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var depth = 0
    /// llama.cpp's MAX_REPETITION_THRESHOLD.
    private static let repetitionLimit = 2000

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    /// The rules by name; the later of two with the same name wins, as in llama.cpp.
    mutating func rules() throws(GrammarError) -> [(name: String, body: GBNFExpression)] {
        var rules: [(name: String, body: GBNFExpression)] = []
        skipSpace(overLines: true)
        while place < scalars.count {
            let name = try self.name("the name of a rule")
            skipSpace(overLines: false)
            for mark: Unicode.Scalar in [":", ":", "="] where !take(mark) { throw failure("'::=' after \(name)") }
            skipSpace(overLines: true)
            let body = try alternatives(isNested: false)
            guard place == scalars.count || peek == "\n" || peek == "\r" else { throw failure("the end of the line") }
            skipSpace(overLines: true)
            rules.removeAll { $0.name == name }
            rules.append((name, body))
        }
        guard rules.contains(where: { $0.name == "root" }) else {
            throw failure("a rule named root", found: rules.isEmpty ? "no rule" : "none", at: 0)
        }
        return rules
    }

    private mutating func alternatives(isNested: Bool) throws(GrammarError) -> GBNFExpression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 200 else { throw failure("at most 200 levels of parentheses") }
        var alternatives = [try sequence(isNested: isNested)]
        while take("|") {
            skipSpace(overLines: true)
            alternatives.append(try sequence(isNested: isNested))
        }
        return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
    }

    private mutating func sequence(isNested: Bool) throws(GrammarError) -> GBNFExpression {
        var parts: [GBNFExpression] = []
        while let next = peek {
            switch next {
            case "\"":
                place += 1
                var text: [Unicode.Scalar] = []
                let start = place - 1
                while !take("\"") {
                    guard place < scalars.count else { throw failure("'\"' at the end of a text", at: start) }
                    text.append(try character())
                }
                parts.append(.text(text))
            case "[":
                parts.append(.scalars(try characterClass()))
            case ".":
                place += 1
                parts.append(.scalars(.all))
            case "(":
                let start = place
                place += 1
                skipSpace(overLines: true)
                let inner = try alternatives(isNested: true)
                guard take(")") else { throw failure("')' for this '('", at: start) }
                parts.append(inner)
            case "*", "+", "?", "{":
                guard let last = parts.popLast() else { throw failure("something to repeat before '\(next)'") }
                let (min, max) = try repetition()
                parts.append(.repeated(last, min: min, max: max))
            case "<", "!":
                throw failure("texts, classes and rules", .unsupported, found: "a token in angle brackets")
            case _ where Self.isWord(next):
                let start = place
                let name = try self.name("a rule")
                parts.append(.rule(name, place: position(start)))
            default: return .sequence(parts)
            }
            skipSpace(overLines: isNested)
        }
        return .sequence(parts)
    }

    private mutating func repetition() throws(GrammarError) -> (Int, Int?) {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        let start = place
        _ = take("{")
        skipSpace(overLines: true)
        guard let min = number() else { throw failure("a number after '{'") }
        var max: Int? = min
        skipSpace(overLines: true)
        if take(",") {
            skipSpace(overLines: true)
            max = number()
            skipSpace(overLines: true)
        }
        guard take("}") else { throw failure("'}'") }
        if let max, max < min { throw failure("a maximum of \(min) or more", at: start) }
        guard Swift.max(min, max ?? 0) <= Self.repetitionLimit else {
            throw failure("at most \(Self.repetitionLimit) repetitions", .tooLarge, at: start)
        }
        return (min, max)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let digit = peek, (0x30...0x39).contains(digit.value) {
            value = min((value ?? 0) * 10 + Int(digit.value - 0x30), 1_000_000)
            place += 1
        }
        return value
    }

    private mutating func characterClass() throws(GrammarError) -> ScalarSet {
        let start = place
        _ = take("[")
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while !take("]") {
            guard place < scalars.count else { throw failure("']' for this '['", at: start) }
            let first = try character()
            if peek == "-", place + 1 < scalars.count, scalars[place + 1] != "]" {
                place += 1
                let last = try character()
                guard first.value <= last.value else { throw failure("a range whose end is not before its start") }
                ranges.append(first.value...last.value)
            } else {
                ranges.append(first.value...first.value)
            }
        }
        let set = ScalarSet(ranges).intersection(.all)
        return isInverted ? set.inverted : set
    }

    /// One character of a literal or a character class.
    private mutating func character() throws(GrammarError) -> Unicode.Scalar {
        guard place < scalars.count else { throw failure("a character") }
        let scalar = scalars[place]
        place += 1
        guard scalar == "\\" else { return scalar }
        let start = place - 1
        guard place < scalars.count else { throw failure("a character after '\\'") }
        let letter = scalars[place]
        place += 1
        switch letter {
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        case "U": return try hexadecimal(8)
        case "t": return "\t"
        case "r": return "\r"
        case "n": return "\n"
        case "\\", "\"", "[", "]": return letter
        default:
            throw failure("one of \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\]", found: "\\\(letter)", at: start)
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = peek, digit.isASCII, let nibble = Character(digit).hexDigitValue else {
                throw failure("\(count) hexadecimal digits")
            }
            value = value << 4 | UInt32(nibble)
            place += 1
        }
        guard let scalar = Unicode.Scalar(value) else { throw failure("a Unicode scalar", at: place - count) }
        return scalar
    }

    private mutating func name(_ expected: String) throws(GrammarError) -> String {
        let start = place
        while let next = peek, Self.isWord(next) { place += 1 }
        guard place > start else { throw failure(expected) }
        return scalars[start..<place].reduce(into: "") { $0.unicodeScalars.append($1) }
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            || scalar == "-" || scalar == "_"
    }

    // MARK: Single scalars

    private var peek: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        place += 1
        return true
    }

    private mutating func skipSpace(overLines: Bool) {
        while let next = peek {
            if next == "#" {
                while let other = peek, other != "\n", other != "\r" { place += 1 }
            } else if next == " " || next == "\t" || (overLines && (next == "\n" || next == "\r")) {
                place += 1
            } else {
                return
            }
        }
    }

    private func position(_ place: Int) -> String {
        let before = scalars[..<place]
        let line = before.count { $0 == "\n" } + 1
        let start = before.lastIndex(of: "\n").map { $0 + 1 } ?? 0
        return "line \(line), column \(place - start + 1)"
    }

    private func failure(
        _ expected: String, _ code: GrammarError.Code = .syntax, found: String? = nil, at start: Int? = nil
    ) -> GrammarError {
        let start = start ?? place
        let next = start < scalars.count ? scalars[start] : nil
        let shown = next.map { $0 == "\n" ? "the end of the line" : "'\($0)'" } ?? "the end"
        return GrammarError(code, "grammar", place: position(start), expected: expected, found: found ?? shown)
    }
}

private struct GBNFCompiler {
    private let rules: [(name: String, body: GBNFExpression)]
    private var builder = NetworkBuilder()
    private var starts: [String: Int32] = [:]

    init(_ rules: [(name: String, body: GBNFExpression)]) {
        self.rules = rules
        for rule in rules { starts[rule.name] = builder.node() }
    }

    mutating func network() throws(GrammarError) -> Network {
        for rule in rules {
            let end = try add(rule.body, from: starts[rule.name]!)
            builder.setReturns(end)
        }
        if let start = builder.leftRecursion(rules.map { starts[$0.name]! }) {
            let name = rules.first { starts[$0.name] == start }?.name ?? ""
            throw GrammarError(
                .unsupported, "grammar", place: "rule \(name)", expected: "something before the rule comes again",
                found: "left recursion", remedy: "Write the repetition with * or +.")
        }
        guard let network = builder.network(start: starts["root"]!) else {
            throw GrammarError(
                .unsatisfiable, "grammar", place: "rule root", expected: "some text that ends", found: "none")
        }
        return network
    }

    private mutating func add(_ expression: GBNFExpression, from start: Int32) throws(GrammarError) -> Int32 {
        guard builder.nodeCount < NetworkBuilder.nodeLimit else {
            throw GrammarError(
                .tooLarge, "grammar", place: "whole", expected: "at most \(NetworkBuilder.nodeLimit) places",
                found: "more")
        }
        switch expression {
        case .text(let scalars): return builder.text(start, scalars.flatMap(TextEncoding.utf8.bytes))
        case .scalars(let set):
            let end = builder.node()
            for sequence in TextEncoding.utf8.sequences(set) {
                var current = start
                for (index, range) in sequence.enumerated() {
                    let next = index == sequence.count - 1 ? end : builder.node()
                    builder.edge(current, range, to: next)
                    current = next
                }
            }
            return end
        case .rule(let name, let place):
            guard let rule = starts[name] else {
                throw GrammarError(
                    .syntax, "grammar", place: place, expected: "the name of a rule that is defined", found: name)
            }
            let end = builder.node()
            builder.call(start, rule, to: end)
            return end
        case .sequence(let parts):
            var current = start
            for part in parts { current = try add(part, from: current) }
            return current
        case .alternatives(let alternatives):
            let end = builder.node()
            for alternative in alternatives {
                let first = builder.node()
                builder.jump(start, to: first)
                let last = try add(alternative, from: first)
                builder.jump(last, to: end)
            }
            return end
        case .repeated(let inner, let min, let max):
            var current = start
            if inner.isNothing { return start }
            for _ in 0..<min { current = try add(inner, from: current) }
            let end = builder.node()
            if let max {
                for _ in min..<max {
                    builder.jump(current, to: end)
                    let first = builder.node()
                    builder.jump(current, to: first)
                    current = try add(inner, from: first)
                }
            } else {
                let loop = builder.node()
                builder.jump(current, to: loop)
                let last = try add(inner, from: loop)
                builder.jump(last, to: loop)
                current = loop
            }
            builder.jump(current, to: end)
            return end
        }
    }
}
