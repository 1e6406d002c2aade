/// Runs a network over bytes: a state is a set of places with their stacks, created when first reached.
///
/// The token mask of a state is the union over its places. What a place accepts within its rule does not depend on the
/// stack: it is computed once per node (the idea of XGrammar, Dong et al., 2024), and only tokens that extend past the
/// end of the rule are checked again with the stack. Free text accepts all plain tokens at once (the idea of
/// llguidance's slices).
struct Machine: ~Copyable {
    /// A position in the network.
    struct Place: Hashable {
        let node: Int32
        /// The distinct texts of the enclosing container.
        let frame: Int32
        let stack: Int32
    }

    /// Where to continue at the end of a rule.
    private struct Return: Hashable {
        let node: Int32
        let frame: Int32
        let below: Int32
    }

    /// The distinct texts of a container, and the one in progress.
    private struct Frame: Hashable {
        var used: [[UInt8]]
        var text: [UInt8]?
    }

    private struct State {
        let places: [Place]
        /// Whether distinct texts are tracked: not for masks, which are supersets in this respect.
        let tracksTexts: Bool
        var isClosed = false
        /// The places and all that are reachable without a byte.
        var closure: [Place] = []
        /// Whether the text may end here.
        var accepts = false
        /// Whether it reaches the end of a rule whose stack is unknown.
        var escapes = false
        /// Offset of its row in `table`; −1 if it has none yet.
        var row = -1
    }

    static let dead: Int32 = -1
    private static let unknown: Int32 = -2
    /// The stack of the whole answer, and an unknown stack.
    private static let bottom: Int32 = -1
    private static let opaque: Int32 = -2

    private let network: Network
    private let tree: TokenTree
    private var states: [State] = []
    private var ids: [Key: Int32] = [:]
    private var returns: [Return] = []
    private var returnIds: [Return: Int32] = [:]
    private var frames: [Frame] = []
    private var frameIds: [Frame: Int32] = [:]
    private var table: [Int32] = []
    private var nodeTokens: [Int32: NodeTokens] = [:]
    private var masks: [Int32: TokenMask] = [:]
    private var plainSuccessors: [Int32: Set<Int32>?] = [:]
    /// The automaton of one plain scalar.
    private let plainScalar: ByteAutomaton

    private struct Key: Hashable {
        let places: [Place]
        let tracksTexts: Bool
    }

    /// The tokens that can follow a node, independent of the stack.
    private struct NodeTokens {
        /// Nil if `tokens` lists them.
        var mask: TokenMask?
        var tokens: [Int32] = []
        /// Nodes of the tree at which the rule can end; −1 is its root.
        var ends: [Int32] = []
    }

    let start: Int32

    init(_ network: Network, _ tree: TokenTree) {
        (self.network, self.tree) = (network, tree)
        // About ten states: the limit is not reached.
        plainScalar = (try? ByteAutomaton(.scalars(TokenTree.plainScalars), .utf8)) ?? .empty
        frames = [Frame(used: [], text: nil), Frame(used: [], text: nil)]
        let places = [Place(node: network.start, frame: 0, stack: Self.bottom)]
        states = [State(places: places, tracksTexts: true)]
        ids = [Key(places: places, tracksTexts: true): 0]
        start = 0
    }

    // MARK: Bytes

    /// The state after a byte; `dead` if the text fails.
    mutating func step(_ state: Int32, _ byte: UInt8) -> Int32 {
        if states[Int(state)].row >= 0 {
            let known = table[states[Int(state)].row + Int(byte)]
            if known != Self.unknown { return known }
        }
        close(state)
        var places: [Place] = []
        for place in states[Int(state)].closure {
            for edge in network.edges(place.node) where edge.low <= byte && byte <= edge.high {
                guard let frame = frame(place.frame, adding: byte, at: edge.target) else { continue }
                places.append(Place(node: edge.target, frame: frame, stack: place.stack))
            }
        }
        let next = id(places, tracksTexts: states[Int(state)].tracksTexts)
        if states[Int(state)].row >= 0 { table[states[Int(state)].row + Int(byte)] = next }
        return next
    }

    mutating func accepts(_ state: Int32) -> Bool {
        close(state)
        return states[Int(state)].accepts
    }

    /// The only byte that can follow; nil if there are several, or if the text may end.
    mutating func onlyByte(_ state: Int32) -> UInt8? {
        close(state)
        guard !states[Int(state)].accepts else { return nil }
        var only: UInt8?
        for place in states[Int(state)].closure {
            for edge in network.edges(place.node) {
                guard edge.low == edge.high, only == nil || only == edge.low else { return nil }
                only = edge.low
            }
        }
        return only
    }

    /// Whether no byte can follow.
    mutating func isFinal(_ state: Int32) -> Bool {
        close(state)
        return states[Int(state)].accepts && states[Int(state)].closure.allSatisfy { network.edges($0.node).isEmpty }
    }

    private mutating func id(_ places: [Place], tracksTexts: Bool) -> Int32 {
        guard !places.isEmpty else { return Self.dead }
        var places = places
        if places.count > 1 {
            places = Set(places).sorted {
                ($0.node, $0.stack, $0.frame) < ($1.node, $1.stack, $1.frame)
            }
        }
        let key = Key(places: places, tracksTexts: tracksTexts)
        if let id = ids[key] { return id }
        let id = Int32(states.count)
        ids[key] = id
        states.append(State(places: places, tracksTexts: tracksTexts))
        return id
    }

    private mutating func close(_ state: Int32) {
        guard !states[Int(state)].isClosed else { return }
        let tracksTexts = states[Int(state)].tracksTexts
        var closure: [Place] = []
        var seen: Set<Place> = []
        var work = states[Int(state)].places
        var (accepts, escapes) = (false, false)
        while var place = work.popLast() {
            if tracksTexts, network.opensContainer(place.node) {
                place = Place(node: place.node, frame: 1, stack: place.stack)
            }
            guard seen.insert(place).inserted else { continue }
            if !network.edges(place.node).isEmpty { closure.append(place) }
            for target in network.jumps(place.node) {
                work.append(Place(node: target, frame: place.frame, stack: place.stack))
            }
            for call in network.calls(place.node) {
                if call.isDistinct {
                    let stack = id(Return(node: call.next, frame: place.frame, below: place.stack))
                    let frame =
                        tracksTexts ? id(Frame(used: frames[Int(place.frame)].used, text: [])) : 0
                    work.append(Place(node: call.start, frame: frame, stack: stack))
                } else {
                    // A tail call pushes nothing: right recursion takes no stack.
                    let stack =
                        network.onlyReturns(call.next)
                        ? place.stack : id(Return(node: call.next, frame: place.frame, below: place.stack))
                    work.append(Place(node: call.start, frame: 0, stack: stack))
                }
            }
            guard network.returns(place.node) else { continue }
            let frame = frames[Int(place.frame)]
            if let text = frame.text, frame.used.contains(text) { continue }
            switch place.stack {
            case Self.bottom: accepts = true
            case Self.opaque: escapes = true
            default:
                let next = returns[Int(place.stack)]
                let after = frame.text.map { id(Frame(used: frame.used + [$0], text: nil)) } ?? next.frame
                work.append(Place(node: next.node, frame: after, stack: next.below))
            }
        }
        states[Int(state)].closure = closure
        (states[Int(state)].accepts, states[Int(state)].escapes) = (accepts, escapes)
        states[Int(state)].isClosed = true
    }

    private mutating func id(_ entry: Return) -> Int32 {
        if let id = returnIds[entry] { return id }
        returnIds[entry] = Int32(returns.count)
        returns.append(entry)
        return Int32(returns.count - 1)
    }

    private mutating func id(_ frame: Frame) -> Int32 {
        if let id = frameIds[frame] { return id }
        frameIds[frame] = Int32(frames.count)
        frames.append(frame)
        return Int32(frames.count - 1)
    }

    /// The frame after a byte of a distinct text; nil if only texts that are already used could result.
    private mutating func frame(_ id: Int32, adding byte: UInt8, at node: Int32) -> Int32? {
        guard let text = frames[Int(id)].text else { return id }
        var frame = frames[Int(id)]
        let longer = text + [byte]
        frame.text = longer
        let completions = network.completions(node)
        if completions < Network.distinctLimit {
            let taken = frame.used.count { $0.starts(with: longer) && isText($0.dropFirst(longer.count), from: node) }
            guard completions > taken else { return nil }
        }
        return self.id(frame)
    }

    /// Whether a regular rule accepts a text from this node to its end.
    private func isText(_ text: some Sequence<UInt8>, from node: Int32) -> Bool {
        var node = node
        for byte in text {
            guard let edge = network.edges(node).first(where: { $0.low <= byte && byte <= $0.high }) else {
                return false
            }
            node = edge.target
        }
        return network.returns(node)
    }

    // MARK: Tokens

    /// The tokens after which the text can still be completed.
    ///
    /// May contain tokens that lead to a repeated distinct text: check the chosen token with `step`.
    mutating func mask(_ state: Int32) -> TokenMask {
        if let mask = masks[state] { return mask }
        var mask = TokenMask(count: tree.vocabularySize)
        for place in states[Int(state)].places { add(place.node, place.stack, to: &mask) }
        if masks.count >= 64 { masks.removeAll() }
        masks[state] = mask
        return mask
    }

    private mutating func add(_ node: Int32, _ stack: Int32, to mask: inout TokenMask) {
        let found = tokens(after: node)
        if let dense = found.mask { mask.formUnion(dense) }
        for token in found.tokens { mask.insert(Int(token)) }
        for end in found.ends { goOn(from: end, stack, to: &mask) }
    }

    /// Adds the tokens that extend past the end of a rule, which they reach at a node of the tree.
    private mutating func goOn(from end: Int32, _ stack: Int32, to mask: inout TokenMask) {
        guard stack >= 0 else { return }
        let next = returns[Int(stack)]
        guard end >= 0 else { return add(next.node, next.below, to: &mask) }
        let last = Int(tree.ends[Int(end)])
        guard last > Int(end) + 1 else { return }
        let state = opaqueState(next.node)
        var (tokens, ends) = ([Int32](), [Int32]())
        walk(state, Int(end) + 1..<last, depth: Int(tree.depths[Int(end)]), skipsPlain: false, &tokens, &ends)
        for token in tokens { mask.insert(Int(token)) }
        close(state)
        if states[Int(state)].escapes { ends.append(end) }
        for end in ends { goOn(from: end, next.below, to: &mask) }
    }

    private mutating func opaqueState(_ node: Int32) -> Int32 {
        id([Place(node: node, frame: 0, stack: Self.opaque)], tracksTexts: false)
    }

    private mutating func tokens(after node: Int32) -> NodeTokens {
        if let known = nodeTokens[node] { return known }
        let state = opaqueState(node)
        var found = NodeTokens()
        let isText = takesPlainText(state)
        walk(state, 0..<tree.bytes.count, depth: 0, skipsPlain: isText, &found.tokens, &found.ends)
        close(state)
        if states[Int(state)].escapes { found.ends.append(-1) }
        if isText || found.tokens.count > 1000 {
            var mask = isText ? tree.plainTokens : TokenMask(count: tree.vocabularySize)
            for token in found.tokens { mask.insert(Int(token)) }
            (found.mask, found.tokens) = (mask, [])
        }
        if nodeTokens.count >= 1024 { nodeTokens.removeAll() }
        nodeTokens[node] = found
        return found
    }

    /// Collects the tokens of a subtree that a state accepts.
    private mutating func walk(
        _ state: Int32, _ nodes: Range<Int>, depth: Int, skipsPlain: Bool, _ tokens: inout [Int32],
        _ ends: inout [Int32]
    ) {
        var path = [Int32](repeating: state, count: 256)  // states by depth
        var node = nodes.lowerBound
        while node < nodes.upperBound {
            if skipsPlain, tree.isPlain[node] {
                node = Int(tree.ends[node])
                continue
            }
            let level = Int(tree.depths[node]) - depth
            let next = walkingStep(path[level - 1], tree.bytes[node])
            guard next >= 0 else {
                node = Int(tree.ends[node])
                continue
            }
            path[level] = next
            if tree.tokens[node] >= 0 { tokens.append(tree.tokens[node]) }
            if escapes(next) { ends.append(Int32(node)) }
            node += 1
        }
    }

    /// `step`, memoized in the table.
    private mutating func walkingStep(_ state: Int32, _ byte: UInt8) -> Int32 {
        if states[Int(state)].row < 0 {
            states[Int(state)].row = table.count
            table.append(contentsOf: repeatElement(Self.unknown, count: 256))
        }
        let known = table[states[Int(state)].row + Int(byte)]
        return known != Self.unknown ? known : step(state, byte)
    }

    private mutating func escapes(_ state: Int32) -> Bool {
        if !states[Int(state)].isClosed { close(state) }
        return states[Int(state)].escapes
    }

    /// Whether every plain text of up to `TokenTree.plainLength` scalars is accepted.
    private mutating func takesPlainText(_ start: Int32) -> Bool {
        // Most states accept only a few bytes.
        for byte: UInt8 in [0x20, 0x41, 0x7A, 0x21, 0xC3] where walkingStep(start, byte) < 0 { return false }
        var front: Set<Int32> = [start]
        var seen = front
        for _ in 0..<TokenTree.plainLength where !front.isEmpty {
            var following: Set<Int32> = []
            for state in front {
                guard let next = statesAfterPlainScalar(state) else { return false }
                for state in next where seen.insert(state).inserted { following.insert(state) }
            }
            front = following
        }
        return true
    }

    /// The states after one plain scalar; nil if one fails.
    private mutating func statesAfterPlainScalar(_ start: Int32) -> Set<Int32>? {
        if let known = plainSuccessors[start] { return known }
        struct Pair: Hashable { let plain, state: Int32 }
        var seen: Set<Pair> = []
        var work = [Pair(plain: 0, state: start)]
        var ends: Set<Int32>? = []
        scan: while let pair = work.popLast() {
            for byte: UInt8 in 0x20...0xFF {
                let plain = plainScalar.next(pair.plain, byte)
                guard plain >= 0 else { continue }
                let state = walkingStep(pair.state, byte)
                guard state >= 0 else {
                    ends = nil
                    break scan
                }
                if plainScalar.accepting[Int(plain)] {
                    ends?.insert(state)
                } else if seen.insert(Pair(plain: plain, state: state)).inserted {
                    work.append(Pair(plain: plain, state: state))
                }
            }
        }
        plainSuccessors[start] = .some(ends)
        return ends
    }
}
