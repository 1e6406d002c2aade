/// Joins the texts of two overlapping pieces without duplicating or losing a word.
///
/// Aligns the last words of the earlier text with the first words of the later one, like overlapping reads in genome
/// assembly: the best alignment that reaches the end of the one and the beginning of the other. A word broken by the
/// cut may differ. Takes the words up to the middle of the alignment from the earlier text, the rest from the later.
///
/// Source: for the alignment, D. Gusfield, "Algorithms on Strings, Trees, and Sequences" (1997), 11.6.4.
struct Seam: Equatable {
    /// The joined texts.
    let earlier, later: String

    /// Maximum number of words that can overlap: 1.5 s hold six or seven words, and as many characters in scripts
    /// without spaces.
    private static let reach = 10
    private static let match = 1.0
    private static let resemblance = 0.5
    private static let mismatch = -0.6
    /// Below this score the texts do not overlap.
    private static let least = 0.3

    init(_ earlier: String, _ later: String) {
        let tail = Array(Word.words(of: earlier).suffix(Self.reach))
        let head = Array(Word.words(of: later).prefix(Self.reach))
        let pairs = Self.align(tail, head)
        let equal = pairs.filter { tail[$0.0].key == head[$0.1].key }
        guard let (first, second) = equal.isEmpty ? pairs.first : equal[equal.count / 2] else {
            (self.earlier, self.later) = (earlier, later)
            return
        }
        let (end, start) = (tail[first], head[second])
        if end.key.count >= start.key.count {
            // The earlier text may end in a spurious full stop, so take the later text's punctuation.
            self.earlier = String(earlier[..<end.range.upperBound] + later[start.range.upperBound..<start.end])
            self.later = String(later[start.end...])
        } else {
            // The word is broken in the first text and whole in the second.
            self.earlier = String(earlier[..<end.range.lowerBound])
            self.later = String(later[start.range.lowerBound...])
        }
    }

    /// Joins two texts with a space, unless their script has none.
    static func concatenate(_ first: String, _ second: String) -> String {
        let (first, second) = (first.trimmed, second.trimmed)
        guard let last = first.last, let next = second.first else { return first + second }
        return Word.standsAlone(last) || Word.standsAlone(next) ? first + second : "\(first) \(second)"
    }

    /// Han, kana, Thai, Lao, Khmer and Burmese are written without spaces.
    static func standsAlone(_ character: Character) -> Bool { Word.standsAlone(character) }

    /// Pairs of indices of aligned words in the tail and in the head.
    private static func align(_ tail: [Word], _ head: [Word]) -> [(Int, Int)] {
        guard !tail.isEmpty, !head.isEmpty else { return [] }
        // scores[i][j]: the best alignment of any suffix of tail[..<i] with all of head[..<j].
        var scores = [[Double]](repeating: [Double](repeating: 0, count: head.count + 1), count: tail.count + 1)
        for j in 0...head.count { scores[0][j] = Double(j) * mismatch }
        for i in 1...tail.count {
            for j in 1...head.count {
                scores[i][j] = max(
                    scores[i - 1][j - 1] + tail[i - 1].likeness(head[j - 1]), scores[i - 1][j] + mismatch,
                    scores[i][j - 1] + mismatch)
            }
        }
        guard let last = (1...head.count).max(by: { scores[tail.count][$0] < scores[tail.count][$1] }),
            scores[tail.count][last] >= least
        else { return [] }
        var (i, j) = (tail.count, last)
        var pairs: [(Int, Int)] = []
        while i > 0, j > 0 {
            let likeness = tail[i - 1].likeness(head[j - 1])
            if scores[i][j] == scores[i - 1][j - 1] + likeness {
                (i, j) = (i - 1, j - 1)
                if likeness > 0 { pairs.insert((i, j), at: 0) }
            } else if scores[i][j] == scores[i - 1][j] + mismatch {
                i -= 1
            } else {
                j -= 1
            }
        }
        return pairs
    }

    /// A word, or a character of a script without spaces.
    private struct Word {
        let key: String
        /// Excludes the punctuation after it.
        let range: Range<String.Index>
        /// End of that punctuation.
        let end: String.Index

        static func words(of text: String) -> [Word] {
            var words: [Word] = []
            var start: String.Index?
            func end(_ index: String.Index) {
                guard let begun = start else { return }
                start = nil
                let word = text[begun..<index]
                guard let last = word.lastIndex(where: isSpoken) else { return }
                words.append(
                    Word(key: word.filter(isSpoken).lowercased(), range: begun..<text.index(after: last), end: index))
            }
            for index in text.indices {
                if text[index].isWhitespace {
                    end(index)
                } else {
                    if standsAlone(text[index]) { end(index) }
                    if start == nil { start = index }
                    if standsAlone(text[index]) { end(text.index(after: index)) }
                }
            }
            end(text.endIndex)
            return words
        }

        private static func isSpoken(_ character: Character) -> Bool { character.isLetter || character.isNumber }

        /// Han, kana, Thai, Lao, Khmer and Burmese are written without spaces.
        static func standsAlone(_ character: Character) -> Bool {
            guard let scalar = character.unicodeScalars.first else { return false }
            return switch scalar.value {
            case 0x0E00...0x0EFF, 0x1000...0x109F, 0x1780...0x17FF, 0x2E80...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF:
                true
            default: false
            }
        }

        func likeness(_ other: Word) -> Double {
            if key == other.key { return Seam.match }
            let (short, long) = key.count < other.key.count ? (key, other.key) : (other.key, key)
            let isBroken = short.count > 1 && (long.hasPrefix(short) || long.hasSuffix(short))
            return isBroken || editDistance(short, Array(long)) * 3 <= long.count ? Seam.resemblance : Seam.mismatch
        }
    }
}

extension String {
    fileprivate var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
