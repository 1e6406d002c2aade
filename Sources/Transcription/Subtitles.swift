/// A part of a segment that is displayed at once.
package struct SubtitleCue: Sendable, Equatable {
    /// In seconds of the recording.
    package let start, end: Double
    package let lines: [String]
    /// Whether it begins or ends within its segment, so that its times are estimated.
    package let isEstimated: Bool
}

/// Splits segments into readable cues: a few short lines, a few seconds.
///
/// The model returns words without times. The time of a word is estimated from its fraction of the text, over the
/// segment's speech without pauses; a cut near a pause moves to the pause. Cues preferably end with a sentence, then in
/// a pause, then with a clause.
///
/// Source: for the limits, Netflix, "English Timed Text Style Guide": 42 characters, 2 lines, 7 seconds.
public struct SubtitleLayout: Sendable, Equatable {
    /// In characters; Chinese, Japanese and Korean ones count twice.
    public var maxLineWidth: Int
    /// Lines of one subtitle at most.
    public var maxLines: Int
    /// Seconds of one subtitle at most.
    public var maxSeconds: Double

    /// The usual layout of films on television.
    public init(maxLineWidth: Int = 42, maxLines: Int = 2, maxSeconds: Double = 7) {
        (self.maxLineWidth, self.maxLines, self.maxSeconds) = (maxLineWidth, maxLines, maxSeconds)
    }

    /// Shorter silence is a closure within a word.
    private static let shortestPause = 0.15
    /// Maximum distance of a cut from its estimated time, in seconds.
    private static let reach = 0.6
    /// Shorter cues are hard to read.
    private static let shortestCue = 1.0

    /// - Parameter label: a prefix for the text of each cue.
    package func cues(of segment: TranscriptSegment, label: String = "") -> [SubtitleCue] {
        let width = max(1, maxLineWidth - Self.width(label))
        let words = Self.words(segment.text, width)
        guard !words.isEmpty else { return [] }
        let clock = SpeechClock(segment)
        let total = Double(words.reduce(0) { $0 + $1.width })
        var read = 0
        let cuts = words.map { word in
            read += word.width
            return clock.cut(atShare: Double(read) / total, reach: Self.reach, shortestPause: Self.shortestPause)
        }
        let ends = breaks(words, cuts, segment, width)
        var (first, start) = (0, segment.start)
        return ends.map { end in
            let isLast = end == words.count
            defer { (first, start) = (end, isLast ? segment.end : cuts[end - 1].next) }
            var lines = lines(Array(words[first..<end]), width) ?? []
            lines[0] = label + lines[0]
            return SubtitleCue(
                start: start, end: isLast ? segment.end : cuts[end - 1].end, lines: lines,
                isEstimated: ends.count > 1)
        }
    }

    // MARK: Cue boundaries

    /// The cheapest segmentation: for each cue, the number of words before its end.
    private func breaks(_ words: [Word], _ cuts: [SpeechClock.Cut], _ segment: TranscriptSegment, _ width: Int) -> [Int]
    {
        var best = [(cost: 0.0, first: 0)]
        for end in 1...words.count {
            var cheapest = (cost: Double.infinity, first: end - 1)
            let stop = end == words.count ? segment.end : cuts[end - 1].end
            for first in stride(from: end - 1, through: 0, by: -1) {
                guard first == end - 1 || lines(Array(words[first..<end]), width) != nil else { break }
                let seconds = stop - (first == 0 ? segment.start : cuts[first - 1].next)
                var cost = best[first].cost + 1 + (seconds < Self.shortestCue ? 2 : 0)
                // A single word may exceed the limit.
                if seconds > maxSeconds { cost += first == end - 1 ? 10 : 1_000 }
                if end < words.count { cost += words[end - 1].costAfter(isPause: cuts[end - 1].isPause) }
                if cost < cheapest.cost { cheapest = (cost, first) }
            }
            best.append(cheapest)
        }
        var ends = [words.count]
        while let first = ends.first, best[first].first > 0 { ends.insert(best[first].first, at: 0) }
        return ends
    }

    // MARK: Lines

    /// Breaks the words into the fewest lines, as balanced as possible; nil if they need too many lines.
    private func lines(_ words: [Word], _ width: Int) -> [String]? {
        guard let fewest = Self.wrapped(words, width), fewest.count <= maxLines else { return nil }
        guard fewest.count > 1 else { return fewest }
        var (low, high) = (1, width)
        while low < high {
            let middle = (low + high) / 2
            if let lines = Self.wrapped(words, middle), lines.count <= fewest.count {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return Self.wrapped(words, low)
    }

    /// Nil if a word is wider than a line.
    private static func wrapped(_ words: [Word], _ width: Int) -> [String]? {
        var lines: [String] = []
        var used = width
        for word in words {
            guard word.width <= width else { return nil }
            let space = word.hasSpaceBefore ? 1 : 0
            if lines.isEmpty || used + space + word.width > width {
                lines.append(word.text)
                used = word.width
            } else {
                lines[lines.count - 1] += (space > 0 ? " " : "") + word.text
                used += space + word.width
            }
        }
        return lines
    }

    private static func width(_ text: String) -> Int { text.reduce(0) { $0 + width($1) } }

    private static func width(_ character: Character) -> Int {
        (character.unicodeScalars.first?.value ?? 0) >= 0x2E80 ? 2 : 1
    }

    // MARK: Words

    private struct Word {
        var text: String
        let hasSpaceBefore: Bool
        var width: Int

        /// The cost of ending a cue after this word.
        func costAfter(isPause: Bool) -> Double {
            guard let last = text.last(where: { !"\"'”’»)]".contains($0) }) else { return 3 }
            if ".?!…。？！".contains(last) { return 0 }
            if isPause { return 0.5 }
            return ",;:–—、，；：".contains(last) ? 1 : 3
        }
    }

    /// Splits text into words, and into characters in scripts without spaces; splits words wider than a line.
    private static func words(_ text: String, _ width: Int) -> [Word] {
        var words: [Word] = []
        var afterSpace = false
        var mayJoin = false
        for character in text {
            if character.isWhitespace {
                (afterSpace, mayJoin) = (true, false)
                continue
            }
            let size = Self.width(character)
            // Punctuation stays with the character before it.
            let stays = !afterSpace && !words.isEmpty && !character.isLetter && !character.isNumber
            if let last = words.indices.last, mayJoin && !Seam.standsAlone(character) || stays,
                words[last].width + size <= width
            {
                words[last].text.append(character)
                words[last].width += size
            } else {
                words.append(Word(text: String(character), hasSpaceBefore: afterSpace, width: size))
            }
            (afterSpace, mayJoin) = (false, !Seam.standsAlone(character))
        }
        return words
    }
}

/// Maps positions in a segment's speech without pauses to times.
private struct SpeechClock {
    struct Cut {
        /// Where a cue may end, and the next may begin.
        let end, next: Double
        let isPause: Bool
    }

    private let stretches: [Range<Double>]

    init(_ segment: TranscriptSegment) {
        let inside = segment.stretches.map { $0.clamped(to: segment.start..<max(segment.start, segment.end)) }
            .filter { !$0.isEmpty }
        stretches = inside.isEmpty ? [segment.start..<max(segment.start, segment.end)] : inside
    }

    /// - Parameters:
    ///   - share: fraction of the speech, 0 to 1.
    ///   - reach: maximum distance to a pause, in seconds of speech.
    func cut(atShare share: Double, reach: Double, shortestPause: Double) -> Cut {
        let spoken = share * stretches.reduce(0) { $0 + length($1) }
        var before = 0.0
        var nearest: (distance: Double, cut: Cut)?
        var time = stretches[stretches.count - 1].upperBound
        var isFound = false
        for (index, stretch) in stretches.enumerated() {
            if !isFound, spoken <= before + length(stretch) {
                time = stretch.lowerBound + spoken - before
                isFound = true
            }
            before += length(stretch)
            guard index + 1 < stretches.count else { break }
            let next = stretches[index + 1].lowerBound
            let distance = abs(spoken - before)
            if next - stretch.upperBound >= shortestPause, distance <= min(reach, nearest?.distance ?? reach) {
                nearest = (distance, Cut(end: stretch.upperBound, next: next, isPause: true))
            }
        }
        return nearest?.cut ?? Cut(end: time, next: time, isPause: false)
    }

    private func length(_ range: Range<Double>) -> Double { range.upperBound - range.lowerBound }
}
