extension ByteAutomaton {
    /// The language of a regular expression.
    ///
    /// - Parameters:
    ///   - isSearch: whether it may match a part of the text, as `pattern` in JSON Schema; otherwise it must match the
    ///     whole.
    ///   - prefix, suffix: bytes around the text, for example quotes.
    /// - Throws: `StateLimit`.
    init(
        _ expression: RegularExpression, _ encoding: TextEncoding, isSearch: Bool = false, prefix: [UInt8] = [],
        suffix: [UInt8] = []
    ) throws(StateLimit) {
        var builder = ThompsonNetwork(encoding)
        let any = RegularExpression.repeated(.scalars(.all), min: 0, max: nil)
        let start = builder.node()
        var match = try builder.add(isSearch ? .sequence([any, expression]) : expression, from: start)
        if isSearch { match = try builder.add(any, from: match) }
        self = try builder.automaton(start: start, end: match, prefix: prefix, suffix: suffix)
    }

    /// All texts of `min` to `max` scalars, enclosed in `quote`, which does not occur unescaped in a text.
    static func counted(
        min: Int, max: Int?, _ encoding: TextEncoding, quote: UInt8
    ) throws(StateLimit) -> ByteAutomaton {
        // The automaton of one scalar, from state 0 to its only accepting state, which has no transitions. It is copied
        // once per position; its accepting state is state 0 of the next copy.
        let one = try ByteAutomaton(.scalars(.all), encoding).minimized()
        var isQuote = [UInt8](repeating: 0, count: 256)
        isQuote[Int(quote)] = 1
        let classes = joint(one.classes, isQuote)
        let classCount = Int(classes.max()!) + 1
        var representatives = [UInt8](repeating: 0, count: classCount)
        for byte in 0...255 { representatives[Int(classes[byte])] = UInt8(byte) }
        // States: before the opening quote, the copies, the end.
        let inner = (0..<one.stateCount).filter { !one.accepting[$0] }
        let places = Dictionary(uniqueKeysWithValues: inner.enumerated().map { ($1, $0) })
        let copies = (max ?? min) + 1
        let end = 1 + (copies - 1) * inner.count + (max == nil ? inner.count : 1)
        guard end < 400_000 else { throw StateLimit() }
        var table = [Int32](repeating: dead, count: (end + 1) * classCount)
        table[Int(classes[Int(quote)])] = 1
        for copy in 0..<copies {
            let isLast = copy == copies - 1
            let first = 1 + copy * inner.count
            let next = isLast ? first : first + inner.count
            for (place, state) in inner.enumerated() {
                let row = (first + place) * classCount
                if place == 0, copy >= min { table[row + Int(classes[Int(quote)])] = Int32(end) }
                // After the maximum length only the quote can follow.
                if isLast, max != nil { break }
                for (symbol, byte) in representatives.enumerated() {
                    let target = one.next(Int32(state), byte)
                    guard target >= 0 else { continue }
                    table[row + symbol] = Int32(one.accepting[Int(target)] ? next : first + places[Int(target)]!)
                }
            }
        }
        var accepting = [Bool](repeating: false, count: end + 1)
        accepting[end] = true
        return ByteAutomaton(classes: classes, classCount: classCount, table: table, accepting: accepting)
    }
}

/// A nondeterministic automaton (Thompson, "Regular expression search algorithm", 1968) with anchors as edges.
private struct ThompsonNetwork {
    private let encoding: TextEncoding
    private var edges: [[(range: ClosedRange<UInt8>, target: Int32)]] = []
    private var jumps: [[(kind: Jump, target: Int32)]] = []

    private enum Jump { case free, atStart, atEnd }

    init(_ encoding: TextEncoding) { self.encoding = encoding }

    mutating func node() -> Int {
        edges.append([])
        jumps.append([])
        return edges.count - 1
    }

    /// Repetitions are expanded, and nested ones multiply.
    private static let nodeLimit = 500_000

    /// - Returns: the node at which the expression has matched.
    mutating func add(_ expression: RegularExpression, from start: Int) throws(ByteAutomaton.StateLimit) -> Int {
        guard edges.count < Self.nodeLimit else { throw ByteAutomaton.StateLimit() }
        switch expression {
        case .empty: return start
        case .scalars(let set):
            let end = node()
            for sequence in encoding.sequences(set) {
                var current = start
                for (index, range) in sequence.enumerated() {
                    let next = index == sequence.count - 1 ? end : node()
                    edges[current].append((range, Int32(next)))
                    current = next
                }
            }
            return end
        case .sequence(let parts):
            var current = start
            for part in parts { current = try add(part, from: current) }
            return current
        case .alternatives(let alternatives):
            let end = node()
            for alternative in alternatives {
                let first = node()
                jump(from: start, to: first)
                jump(from: try add(alternative, from: first), to: end)
            }
            return end
        case .repeated(let inner, let min, let max):
            var current = start
            if inner.isNothing { return start }
            for _ in 0..<min { current = try add(inner, from: current) }
            let end = node()
            if let max {
                for _ in min..<Swift.max(min, max) {
                    jump(from: current, to: end)
                    let first = node()
                    jump(from: current, to: first)
                    current = try add(inner, from: first)
                }
            } else {
                let loop = node()
                jump(from: current, to: loop)
                jump(from: try add(inner, from: loop), to: loop)
                current = loop
            }
            jump(from: current, to: end)
            return end
        case .start, .end:
            let end = node()
            jumps[start].append((expression == .start ? .atStart : .atEnd, Int32(end)))
            return end
        }
    }

    private mutating func jump(from start: Int, to end: Int) { jumps[start].append((.free, Int32(end))) }

    private struct State: Hashable {
        var prefix: Int
        var nodes: [Int32]
        var isAtStart: Bool
        var suffix: Int
    }

    func automaton(
        start: Int, end: Int, prefix: [UInt8], suffix: [UInt8]
    ) throws(ByteAutomaton.StateLimit) -> ByteAutomaton {
        let classes = self.classes(prefix + suffix)
        let first = State(
            prefix: 0, nodes: closure([Int32(start)], atStart: true, atEnd: false), isAtStart: true, suffix: 0)
        try CompilationEffort.spend(edges.count)
        func matches(_ state: State) -> Bool {
            closure(state.nodes, atStart: state.isAtStart, atEnd: true).contains(Int32(end))
        }
        return try ByteAutomaton(from: first, classes: classes) {
            (state, byte) throws(ByteAutomaton.StateLimit) -> State? in
            var next = state
            if state.prefix < prefix.count {
                next.prefix += 1
                return byte == prefix[state.prefix] ? next : nil
            }
            var targets: Set<Int32> = []
            var work = 0
            for node in state.nodes {
                work += 1 + edges[Int(node)].count
                for edge in edges[Int(node)] where edge.range.contains(byte) { targets.insert(edge.target) }
            }
            try CompilationEffort.spend(work)
            guard !targets.isEmpty else {
                // The suffix begins with a byte that cannot begin a scalar of the text.
                if state.suffix == 0, suffix.isEmpty || !matches(state) { return nil }
                guard state.suffix < suffix.count, byte == suffix[state.suffix] else { return nil }
                return State(prefix: state.prefix, nodes: [], isAtStart: false, suffix: state.suffix + 1)
            }
            next.nodes = closure(Array(targets), atStart: false, atEnd: false)
            try CompilationEffort.spend(next.nodes.count)
            next.isAtStart = false
            return next
        } accepts: { state in
            state.prefix == prefix.count && state.suffix == suffix.count
                && (!suffix.isEmpty || matches(state))
        }
    }

    private func closure(_ nodes: [Int32], atStart: Bool, atEnd: Bool) -> [Int32] {
        var seen = Set(nodes)
        var work = nodes
        while let node = work.popLast() {
            for jump in jumps[Int(node)] {
                let isOpen =
                    switch jump.kind {
                    case .free: true
                    case .atStart: atStart
                    case .atEnd: atEnd
                    }
                if isOpen, seen.insert(jump.target).inserted { work.append(jump.target) }
            }
        }
        return seen.sorted()
    }

    private func classes(_ others: [UInt8]) -> [UInt8] {
        var isBoundary = [Bool](repeating: false, count: 257)
        for edge in edges.joined() {
            isBoundary[Int(edge.range.lowerBound)] = true
            isBoundary[Int(edge.range.upperBound) + 1] = true
        }
        for byte in others { (isBoundary[Int(byte)], isBoundary[Int(byte) + 1]) = (true, true) }
        var id = 0
        return (0..<256).map { byte in
            if byte > 0, isBoundary[byte] { id += 1 }
            return UInt8(id)
        }
    }
}
