import Synchronization

/// A grammar with its masks for one vocabulary, shared by all answers constrained to it.
package final class GrammarMatcher: Sendable {
    package let tree: TokenTree
    private let machine: Mutex<Machine>

    package init(_ grammar: Grammar, _ tree: TokenTree) {
        self.tree = tree
        machine = Mutex(Machine(grammar.network, tree))
    }

    /// The state before the first byte.
    package var start: GrammarState { GrammarState(self, machine.withLock { $0.start }) }

    fileprivate func run<Result>(_ body: (inout Machine) -> sending Result) -> sending Result {
        machine.withLock { body(&$0) }
    }
}

/// The state of an answer within its grammar. A value: copy it to return to it later.
package struct GrammarState: Sendable {
    private let matcher: GrammarMatcher
    private var state: Int32

    fileprivate init(_ matcher: GrammarMatcher, _ state: Int32) { (self.matcher, self.state) = (matcher, state) }

    /// Whether the answer may end here.
    package var isAccepting: Bool { matcher.run { [state] in $0.accepts(state) } }

    /// Whether the answer must end here.
    package var isFinal: Bool { matcher.run { [state] in $0.isFinal(state) } }

    /// The tokens after which the answer can still be completed. A superset if keys or items must differ from earlier
    /// ones: `advance` decides.
    package var mask: TokenMask { matcher.run { [state] in $0.mask(state) } }

    /// Advances by bytes.
    ///
    /// - Returns: whether the answer can still be completed; if not, the state is unchanged.
    package mutating func advance(_ bytes: some Collection<UInt8>) -> Bool {
        let end = matcher.run { [state] machine in
            var next = state
            for byte in bytes where next >= 0 { next = machine.step(next, byte) }
            return next
        }
        if end >= 0 { state = end }
        return end >= 0
    }

    /// Advances by the text of a token.
    ///
    /// - Returns: whether the answer can still be completed; if not, the state is unchanged.
    package mutating func advance(token: Int) -> Bool {
        let text = matcher.tree.text(token)
        return !text.isEmpty && advance(text)
    }

    /// The bytes that must follow, independent of the model.
    package func forcedBytes(limit: Int = 512) -> [UInt8] {
        matcher.run { [state] machine in
            var (state, bytes) = (state, [UInt8]())
            while bytes.count < limit, let byte = machine.onlyByte(state) {
                state = machine.step(state, byte)
                guard state >= 0 else { break }
                bytes.append(byte)
            }
            return bytes
        }
    }

    /// The tokens that must follow.
    ///
    /// Leaves the last ones to the model if a token of the vocabulary could begin in the forced bytes and extend beyond
    /// them, so that texts are tokenized as in training.
    ///
    /// - Parameter encode: encodes a text with the model's tokenizer.
    package func forcedTokens(encode: (String) -> [Int]) -> [Int] {
        let bytes = forcedBytes()
        guard bytes.count > 1, let tokens = tokens(of: bytes, encode: encode) else { return [] }
        guard tokens.lazy.flatMap({ matcher.tree.text($0) }).elementsEqual(bytes) else { return [] }
        var end = self
        guard end.advance(bytes) else { return [] }
        var start = 0
        for (index, token) in tokens.enumerated() {
            if let node = matcher.tree.node(bytes[start...]), end.canGoOn(below: node) {
                return Array(tokens[..<index])
            }
            start += matcher.tree.text(token).count
        }
        return tokens
    }

    /// The tokens of a text with control bytes; nil if it ends within a scalar.
    private func tokens(of bytes: [UInt8], encode: (String) -> [Int]) -> [Int]? {
        var tokens: [Int] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let text = rest.prefix { $0 < ControlByte.callEnd }
            guard let text = String(validating: text, as: UTF8.self) else { return nil }
            tokens += encode(text)
            rest = rest.dropFirst(text.utf8.count)
            guard let control = rest.popFirst() else { break }
            guard let node = matcher.tree.node([control]) else { return nil }
            tokens.append(Int(matcher.tree.tokens[node]))
        }
        return tokens
    }

    /// Whether a token below a node of the tree can be accepted, at least in part.
    private func canGoOn(below node: Int) -> Bool {
        let tree = matcher.tree
        return matcher.run { [state] machine in
            var child = node + 1
            while child < Int(tree.ends[node]) {
                if machine.step(state, tree.bytes[child]) >= 0 { return true }
                child = Int(tree.ends[child])
            }
            return false
        }
    }
}
