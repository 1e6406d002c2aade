/// A recursive transition network: rules whose nodes have edges for bytes, and edges that call another rule.
///
/// With a stack of return nodes it is a pushdown automaton. In a network built by `NetworkBuilder.network` every node
/// reaches the end of its rule, so that a text that has not failed can be completed.
struct Network: Sendable {
    struct Edge: Sendable {
        let low, high: UInt8
        let target: Int32
    }

    struct Call: Sendable {
        /// The first node of the rule.
        let start: Int32
        /// The node to return to.
        let next: Int32
        /// Whether its text must differ from those of earlier distinct calls in the same container.
        let isDistinct: Bool
    }

    let start: Int32
    private let edges: Rows<Edge>
    private let jumps: Rows<Int32>
    private let calls: Rows<Call>
    private let flags: [UInt8]
    /// For nodes of distinct texts: the number of texts that lead from here to the end, at most `distinctLimit`.
    private let completions: [Int32: Int]

    /// A language of this many texts counts as infinite.
    static let distinctLimit = 4096

    fileprivate init(
        start: Int32, edges: Rows<Edge>, jumps: Rows<Int32>, calls: Rows<Call>, flags: [UInt8],
        completions: [Int32: Int]
    ) {
        (self.start, self.edges, self.jumps, self.calls) = (start, edges, jumps, calls)
        (self.flags, self.completions) = (flags, completions)
    }

    var nodeCount: Int { flags.count }
    func edges(_ node: Int32) -> ArraySlice<Edge> { edges[node] }
    func jumps(_ node: Int32) -> ArraySlice<Int32> { jumps[node] }
    func calls(_ node: Int32) -> ArraySlice<Call> { calls[node] }
    /// Whether the rule may end here.
    func returns(_ node: Int32) -> Bool { flags[Int(node)] & NetworkBuilder.returning != 0 }
    /// Whether only the end of the rule follows.
    func onlyReturns(_ node: Int32) -> Bool { flags[Int(node)] & NetworkBuilder.onlyReturning != 0 }
    /// Whether an array or an object begins here, with an empty set of distinct texts.
    func opensContainer(_ node: Int32) -> Bool { flags[Int(node)] & NetworkBuilder.opening != 0 }
    func completions(_ node: Int32) -> Int { completions[node] ?? Self.distinctLimit }
}

/// Lists of different lengths in one contiguous array.
struct Rows<Element: Sendable>: Sendable {
    private var starts: [Int32] = [0]
    private var elements: [Element] = []

    mutating func append(_ row: some Sequence<Element>) {
        elements.append(contentsOf: row)
        starts.append(Int32(elements.count))
    }

    subscript(_ row: Int32) -> ArraySlice<Element> {
        elements[Int(starts[Int(row)])..<Int(starts[Int(row) + 1])]
    }
}

/// Builds a network.
struct NetworkBuilder {
    fileprivate static let returning: UInt8 = 1
    fileprivate static let opening: UInt8 = 2
    fileprivate static let onlyReturning: UInt8 = 4

    private var edges: [[Network.Edge]] = []
    private var jumps: [[Int32]] = []
    private var calls: [[Network.Call]] = []
    private var flags: [UInt8] = []
    private var completions: [Int32: Int] = [:]
    /// Larger grammars are refused.
    static let nodeLimit = 2_000_000

    var nodeCount: Int { flags.count }

    mutating func node(returns: Bool = false, opensContainer: Bool = false) -> Int32 {
        edges.append([])
        jumps.append([])
        calls.append([])
        flags.append((returns ? Self.returning : 0) | (opensContainer ? Self.opening : 0))
        return Int32(flags.count - 1)
    }

    mutating func edge(_ from: Int32, _ range: ClosedRange<UInt8>, to target: Int32) {
        edges[Int(from)].append(Network.Edge(low: range.lowerBound, high: range.upperBound, target: target))
    }

    mutating func jump(_ from: Int32, to target: Int32) { jumps[Int(from)].append(target) }

    mutating func call(_ from: Int32, _ start: Int32, to next: Int32, isDistinct: Bool = false) {
        calls[Int(from)].append(Network.Call(start: start, next: next, isDistinct: isDistinct))
    }

    mutating func setReturns(_ node: Int32) { flags[Int(node)] |= Self.returning }

    /// - Returns: the node after the text.
    mutating func text(_ from: Int32, _ bytes: some Sequence<UInt8>, to end: Int32? = nil) -> Int32 {
        var current = from
        for byte in bytes {
            let next = node()
            edge(current, byte...byte, to: next)
            current = next
        }
        if let end { jump(current, to: end) }
        return end ?? current
    }

    /// Adds a regular language as a rule.
    ///
    /// - Parameter countsTexts: whether completions are counted, for texts that must be distinct.
    /// - Returns: its first node; nil if the language is empty.
    mutating func rule(_ automaton: ByteAutomaton, countsTexts: Bool = false) -> Int32? {
        guard !automaton.isEmpty else { return nil }
        let base = Int32(nodeCount)
        for state in 0..<automaton.stateCount {
            let node = self.node(returns: automaton.accepting[state])
            var low = 0
            var target = automaton.next(Int32(state), 0)
            for byte in 1...256 {
                let next = byte < 256 ? automaton.next(Int32(state), UInt8(byte)) : ByteAutomaton.dead - 1
                guard next != target else { continue }
                if target >= 0 { edge(node, UInt8(low)...UInt8(byte - 1), to: base + target) }
                (low, target) = (byte, next)
            }
        }
        if countsTexts {
            for (state, count) in automaton.completionCounts(limit: Network.distinctLimit).enumerated()
            where count < Network.distinctLimit { completions[base + Int32(state)] = count }
        }
        return base
    }

    /// Removes dead ends.
    ///
    /// - Returns: nil if no text leads from `start` to the end of its rule.
    func network(start: Int32) -> Network? {
        let isLive = liveNodes()
        guard isLive[Int(start)] else { return nil }
        var (liveEdges, liveJumps, liveCalls) = (Rows<Network.Edge>(), Rows<Int32>(), Rows<Network.Call>())
        var liveFlags = flags
        for node in 0..<nodeCount {
            let kept = calls[node].filter { isLive[Int($0.start)] && isLive[Int($0.next)] }
            let bytes = edges[node].filter { isLive[Int($0.target)] }
            let free = jumps[node].filter { isLive[Int($0)] }
            if flags[node] & Self.returning != 0, kept.isEmpty, bytes.isEmpty, free.isEmpty {
                liveFlags[node] |= Self.onlyReturning
            }
            liveEdges.append(bytes)
            liveJumps.append(free)
            liveCalls.append(kept)
        }
        return Network(
            start: start, edges: liveEdges, jumps: liveJumps, calls: liveCalls, flags: liveFlags,
            completions: completions)
    }

    /// Nodes that reach the end of their rule.
    private func liveNodes() -> [Bool] {
        var isLive = flags.map { $0 & Self.returning != 0 }
        var sources = [[Int32]](repeating: [], count: nodeCount)
        for node in 0..<nodeCount {
            for edge in edges[node] { sources[Int(edge.target)].append(Int32(node)) }
            for target in jumps[node] { sources[Int(target)].append(Int32(node)) }
            for call in calls[node] {
                sources[Int(call.start)].append(Int32(node))
                sources[Int(call.next)].append(Int32(node))
            }
        }
        var work = (0..<nodeCount).filter { isLive[$0] }
        while let node = work.popLast() {
            for source in sources[node] where !isLive[Int(source)] {
                let index = Int(source)
                let reaches =
                    edges[index].contains { isLive[Int($0.target)] } || jumps[index].contains { isLive[Int($0)] }
                    || calls[index].contains { isLive[Int($0.start)] && isLive[Int($0.next)] }
                guard reaches else { continue }
                isLive[index] = true
                work.append(index)
            }
        }
        return isLive
    }

    /// The first node of a left-recursive rule, which calls itself before it has read a byte; nil if there is none.
    ///
    /// - Parameter starts: the first nodes of all rules.
    func leftRecursion(_ starts: [Int32]) -> Int32? {
        let ids = Dictionary(starts.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        // The rules that each rule calls before reading a byte, skipping rules that may be empty, until a fixed point.
        var isNullable = [Bool](repeating: false, count: starts.count)
        var first = [Set<Int>](repeating: [], count: starts.count)
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for (rule, start) in starts.enumerated() {
                var seen: Set<Int32> = [start]
                var work = [start]
                var called: Set<Int> = []
                var returns = false
                while let node = work.popLast() {
                    returns = returns || flags[Int(node)] & Self.returning != 0
                    var next = jumps[Int(node)]
                    for call in calls[Int(node)] {
                        guard let callee = ids[call.start] else { continue }
                        called.insert(callee)
                        if isNullable[callee] { next.append(call.next) }
                    }
                    for target in next where seen.insert(target).inserted { work.append(target) }
                }
                if called != first[rule] || returns != isNullable[rule] {
                    (first[rule], isNullable[rule]) = (called, returns)
                    hasChanged = true
                }
            }
        }
        for rule in starts.indices {
            var seen: Set<Int> = []
            var work = Array(first[rule])
            while let next = work.popLast() {
                if next == rule { return starts[rule] }
                if seen.insert(next).inserted { work += first[next] }
            }
        }
        return nil
    }
}
