/// A Python regular expression to search in module names.
///
/// Literals, `.`, classes, `\d \w \s \b` and their negations, `^`, `$`, groups, alternatives, lookahead and
/// repetition, all over ASCII. A search takes a bounded number of steps, whatever the expression.
///
/// Source: docs.python.org, `re`.
struct ModulePattern: Sendable {
    private let root: Node

    /// Maximum steps per search; a name has fewer than a hundred characters.
    private static let stepLimit = 100_000
    private static let lengthLimit = 1_000

    private indirect enum Node: Sendable {
        case set(Set<UInt8>)
        case start, end
        case boundary(Bool)
        case sequence([Node])
        case alternatives([Node])
        case repeated(Node, least: Int, most: Int, isLazy: Bool)
        case lookAhead(Node, isNegative: Bool)
    }

    /// Nil if the pattern is not a regular expression, or uses syntax that no published configuration has.
    init?(_ pattern: String) {
        var parser = Parser(bytes: Array(pattern.utf8))
        guard parser.bytes.count <= Self.lengthLimit, let root = parser.alternatives(depth: 0), parser.isAtEnd else {
            return nil
        }
        self.root = root
    }

    /// The start of the first match; nil if there is none, or if the search exceeds the step limit.
    func firstMatch(in name: String) -> Int? {
        var search = Search(name: Array(name.utf8), stepsLeft: Self.stepLimit)
        return (0...search.name.count).first { search.matches(root, at: $0) { _, _ in true } }
    }

    // MARK: Matching

    private struct Search {
        let name: [UInt8]
        var stepsLeft: Int

        /// Whether `node` matches at `place`, and `next` matches after it.
        mutating func matches(_ node: Node, at place: Int, then next: (inout Search, Int) -> Bool) -> Bool {
            stepsLeft -= 1
            guard stepsLeft > 0 else { return false }
            switch node {
            case .set(let set): return place < name.count && set.contains(name[place]) && next(&self, place + 1)
            case .start: return place == 0 && next(&self, place)
            case .end: return place == name.count && next(&self, place)
            case .boundary(let isOne):
                func isWord(_ index: Int) -> Bool {
                    name.indices.contains(index) && Parser.word.contains(name[index])
                }
                return (isWord(place - 1) != isWord(place)) == isOne && next(&self, place)
            case .sequence(let nodes): return matches(nodes[...], at: place, then: next)
            case .alternatives(let nodes): return nodes.contains { matches($0, at: place, then: next) }
            case .repeated(let node, let least, let most, let isLazy):
                func once(_ search: inout Search) -> Bool {
                    most > 0
                        && search.matches(node, at: place) { search, end in
                            // An empty match can be repeated any number of times.
                            guard end > place else { return least > 0 && next(&search, end) }
                            let rest = Node.repeated(node, least: max(0, least - 1), most: most - 1, isLazy: isLazy)
                            return search.matches(rest, at: end, then: next)
                        }
                }
                if least > 0 { return once(&self) }
                return isLazy ? next(&self, place) || once(&self) : once(&self) || next(&self, place)
            case .lookAhead(let node, let isNegative):
                return matches(node, at: place) { _, _ in true } != isNegative && stepsLeft > 0 && next(&self, place)
            }
        }

        private mutating func matches(
            _ nodes: ArraySlice<Node>, at place: Int, then next: (inout Search, Int) -> Bool
        ) -> Bool {
            guard let first = nodes.first else { return next(&self, place) }
            return matches(first, at: place) { search, end in search.matches(nodes.dropFirst(), at: end, then: next) }
        }
    }

    // MARK: Parsing

    private struct Parser {
        let bytes: [UInt8]
        var index = 0

        static let digits = Set(UInt8(ascii: "0")...UInt8(ascii: "9"))
        static let word = digits.union(UInt8(ascii: "a")...UInt8(ascii: "z"))
            .union(UInt8(ascii: "A")...UInt8(ascii: "Z")).union([UInt8(ascii: "_")])
        static let space = Set(" \t\n\r\u{0B}\u{0C}".utf8)
        static let all = Set(UInt8.min...UInt8.max)
        private static let depthLimit = 50

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { index == bytes.count }

        private mutating func take(_ text: StaticString) -> Bool {
            let wanted = text.withUTF8Buffer(Array.init)
            guard bytes[index...].starts(with: wanted) else { return false }
            index += wanted.count
            return true
        }

        mutating func alternatives(depth: Int) -> Node? {
            guard depth < Self.depthLimit else { return nil }
            var nodes: [Node] = []
            repeat {
                var sequence: [Node] = []
                while !isAtEnd, bytes[index] != UInt8(ascii: "|"), bytes[index] != UInt8(ascii: ")") {
                    guard let atom = atom(depth: depth), let node = repetition(of: atom) else { return nil }
                    sequence.append(node)
                }
                nodes.append(.sequence(sequence))
            } while take("|")
            return nodes.count == 1 ? nodes[0] : .alternatives(nodes)
        }

        private mutating func atom(depth: Int) -> Node? {
            if take("(") {
                let isLookAhead = take("?=")
                let isNegative = !isLookAhead && take("?!")
                if !isLookAhead, !isNegative, take("?"), !take(":") { return nil }
                guard let inner = alternatives(depth: depth + 1), take(")") else { return nil }
                return isLookAhead || isNegative ? .lookAhead(inner, isNegative: isNegative) : inner
            }
            if take("^") { return .start }
            if take("$") { return .end }
            if take(".") { return .set(Self.all.subtracting([UInt8(ascii: "\n")])) }
            if take("[") { return characterClass() }
            if take("\\") {
                if take("b") { return .boundary(true) }
                if take("B") { return .boundary(false) }
                return escaped().map(Node.set)
            }
            guard !"*+?{".utf8.contains(bytes[index]) else { return nil }
            defer { index += 1 }
            return .set([bytes[index]])
        }

        /// The characters that an escape sequence matches.
        private mutating func escaped() -> Set<UInt8>? {
            guard !isAtEnd else { return nil }
            defer { index += 1 }
            switch bytes[index] {
            case UInt8(ascii: "d"): return Self.digits
            case UInt8(ascii: "D"): return Self.all.subtracting(Self.digits)
            case UInt8(ascii: "w"): return Self.word
            case UInt8(ascii: "W"): return Self.all.subtracting(Self.word)
            case UInt8(ascii: "s"): return Self.space
            case UInt8(ascii: "S"): return Self.all.subtracting(Self.space)
            case let byte: return Self.word.contains(byte) ? nil : [byte]
            }
        }

        private mutating func characterClass() -> Node? {
            let isNegative = take("^")
            var set: Set<UInt8> = []
            var isFirst = true
            while !isAtEnd, isFirst || bytes[index] != UInt8(ascii: "]") {
                isFirst = false
                if take("\\") {
                    guard let some = escaped() else { return nil }
                    set.formUnion(some)
                    continue
                }
                let first = bytes[index]
                index += 1
                if index + 1 < bytes.count, bytes[index] == UInt8(ascii: "-"), bytes[index + 1] != UInt8(ascii: "]") {
                    let last = bytes[index + 1]
                    guard first <= last, last != UInt8(ascii: "\\") else { return nil }
                    index += 2
                    set.formUnion(first...last)
                } else {
                    set.insert(first)
                }
            }
            guard take("]") else { return nil }
            return .set(isNegative ? Self.all.subtracting(set) : set)
        }

        private mutating func repetition(of node: Node) -> Node? {
            var range: ClosedRange<Int>
            if take("*") {
                range = 0...Int.max
            } else if take("+") {
                range = 1...Int.max
            } else if take("?") {
                range = 0...1
            } else if take("{") {
                guard let counts = counts() else { return nil }
                range = counts
            } else {
                return node
            }
            let isLazy = take("?")
            guard isAtEnd || !"*+?{".utf8.contains(bytes[index]) else { return nil }
            return .repeated(node, least: range.lowerBound, most: range.upperBound, isLazy: isLazy)
        }

        /// `2}`, `2,}`, `,3}` or `2,3}`.
        private mutating func counts() -> ClosedRange<Int>? {
            func number() -> Int? {
                let digits = bytes[index...].prefix { Self.digits.contains($0) }
                index += digits.count
                return digits.count > 4 ? nil : Int(String(decoding: digits, as: UTF8.self))
            }
            let least = number()
            guard take(",") else { return take("}") ? least.map { $0...$0 } : nil }
            let most = number() ?? Int.max
            guard take("}"), least ?? 0 <= most else { return nil }
            return (least ?? 0)...most
        }
    }
}
