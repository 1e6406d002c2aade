/// A trie of a vocabulary's texts, in preorder: the descendants of a node extend to its `end`.
package struct TokenTree: Sendable {
    /// One past the greatest id.
    package let vocabularySize: Int
    let bytes: [UInt8]
    /// 1 for the children of the root, which is not a node itself.
    let depths: [UInt8]
    let ends: [Int32]
    /// The id of the token that ends at this node; −1 if none does.
    let tokens: [Int32]
    /// Whether only plain tokens end at this node and below.
    let isPlain: [Bool]
    /// The tokens of at most `plainLength` whole scalars without control characters, quotes and backslashes. Free text
    /// accepts nearly all or none of them, so that they need not be visited one by one.
    let plainTokens: TokenMask
    static let plainLength = 24
    static let plainScalars = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C]).inverted
    private let texts: [UInt8]
    private let places: [Range<Int32>]

    /// - Parameters:
    ///   - count: one past the greatest id.
    ///   - appendText: appends the bytes of a token to a buffer; nothing for a token that no grammar may use. The first
    ///     of tokens with equal texts is used. Texts beyond 255 bytes are omitted.
    package init(count: Int, appendText: (_ id: Int, _ buffer: inout [UInt8]) -> Void) {
        var texts: [UInt8] = []
        texts.reserveCapacity(count * 8)
        var places: [Range<Int32>] = []
        places.reserveCapacity(count)
        var order: [(key: UInt64, id: Int32)] = []
        order.reserveCapacity(count)
        for id in 0..<count {
            let start = texts.count
            appendText(id, &texts)
            if texts.count - start > 255 { texts.removeLast(texts.count - start) }
            places.append(Int32(start)..<Int32(texts.count))
            guard texts.count > start else { continue }
            var key: UInt64 = 0
            for index in start..<start + 8 { key = key << 8 | (index < texts.count ? UInt64(texts[index]) : 0) }
            order.append((key, Int32(id)))
        }
        order.sort { first, second in
            if first.key != second.key { return first.key < second.key }
            let (a, b) = (places[Int(first.id)], places[Int(second.id)])
            let (left, right) = (
                texts[Int(a.lowerBound)..<Int(a.upperBound)], texts[Int(b.lowerBound)..<Int(b.upperBound)]
            )
            if left.elementsEqual(right) { return first.id < second.id }
            return left.lexicographicallyPrecedes(right)
        }
        var (bytes, depths, ends, tokens) = ([UInt8](), [UInt8](), [Int32](), [Int32]())
        bytes.reserveCapacity(3 * count)
        depths.reserveCapacity(3 * count)
        ends.reserveCapacity(3 * count)
        tokens.reserveCapacity(3 * count)
        var path: [Int] = []  // nodes from the root to the last one
        for (_, id) in order {
            let place = places[Int(id)]
            let (start, length) = (Int(place.lowerBound), place.count)
            var common = 0
            while common < path.count, common < length, bytes[path[common]] == texts[start + common] { common += 1 }
            guard common < length else { continue }
            for node in path[common...] { ends[node] = Int32(bytes.count) }
            path.removeLast(path.count - common)
            for index in common..<length {
                path.append(bytes.count)
                bytes.append(texts[start + index])
                depths.append(UInt8(index + 1))
                ends.append(0)
                tokens.append(index == length - 1 ? id : -1)
            }
        }
        for node in path { ends[node] = Int32(bytes.count) }

        var plain = TokenMask(count: count)
        var isPlain = [Bool](repeating: true, count: bytes.count)
        var node = bytes.count - 1
        while node >= 0 {
            let token = tokens[node]
            if token >= 0 {
                let place = places[Int(token)]
                if Self.isPlain(texts[Int(place.lowerBound)..<Int(place.upperBound)]) {
                    plain.insert(Int(token))
                } else {
                    isPlain[node] = false
                }
            }
            var child = node + 1
            while child < Int(ends[node]), isPlain[node] {
                isPlain[node] = isPlain[child]
                child = Int(ends[child])
            }
            node -= 1
        }
        vocabularySize = count
        (self.bytes, self.depths, self.ends, self.tokens) = (bytes, depths, ends, tokens)
        (self.isPlain, plainTokens, self.texts, self.places) = (isPlain, plain, texts, places)
    }

    /// The bytes of a token; empty if no grammar may use it.
    package func text(_ token: Int) -> ArraySlice<UInt8> {
        guard places.indices.contains(token) else { return [] }
        return texts[Int(places[token].lowerBound)..<Int(places[token].upperBound)]
    }

    /// The node at which a text ends; nil if no token begins with it.
    func node(_ text: some Collection<UInt8>) -> Int? {
        var children = 0..<bytes.count
        var found: Int?
        for byte in text {
            var child = children.lowerBound
            while child < children.upperBound, bytes[child] < byte { child = Int(ends[child]) }
            guard child < children.upperBound, bytes[child] == byte else { return nil }
            (found, children) = (child, child + 1..<Int(ends[child]))
        }
        return found
    }

    private static func isPlain(_ text: ArraySlice<UInt8>) -> Bool {
        var length = 0
        for byte in text {
            if byte < 0x20 || byte == 0x22 || byte == 0x5C { return false }
            if byte & 0xC0 != 0x80 { length += 1 }
        }
        return length <= plainLength
            && (text.allSatisfy { $0 < 0x80 } || String(validating: text, as: UTF8.self) != nil)
    }
}
