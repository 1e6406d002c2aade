import Foundation

/// Separates speech from silence and steady noise, in frames of 10 ms.
///
/// Compares the power in seven bands, smoothed over 50 ms, with the noise floor of each band: the 10 % quantile of the
/// frames from 4 s before to 1 s after. A frame's excess is the mean over the bands of the decibels above their floors.
/// Speech begins when the excess exceeds 3 dB and lasts while it exceeds 2 dB (hysteresis); gaps of up to 80 ms, such
/// as the closure of a stop, belong to it (hang-over); fewer than 80 ms of such frames are a click.
///
/// Steady noise of any level and color, and hum, raise their own floors: white, pink, blue and brown noise stay below
/// 2.3 dB. Speech at 10 dB above white noise exceeds 3 dB in 95 % of its frames, at 0 dB in 78 %, so every word is
/// detected. A noise that begins or ends counts as speech for up to 5 s; music counts as speech. Frames of digital
/// silence do not, and do not change the floors.
///
/// The floor as a low quantile over some seconds follows R. Martin, "Noise power spectral density estimation based on
/// optimal smoothing and minimum statistics", IEEE TSAP 9 (2001).
package struct VoiceActivityDetector: Sendable {
    package static let sampleRate = 16_000
    /// Samples per frame: 10 ms.
    package static let frameLength = 160

    private static let framesBehind = 400
    private static let framesAhead = 100
    private static let smoothedFrames = 5
    private static let hangover = 8
    private static let fewestVoiced = 8
    private static let onset: Float = 3
    private static let offset: Float = 2
    /// Mean square below which a frame is digital silence: a third of a 16-bit step.
    private static let digitalSilence: Float = 1e-10

    private var bank = FilterBank(sampleRate: sampleRate)
    private var unframed: [Float] = []
    private var frames: [Frame] = []  // from `firstFrame` on
    private var firstFrame = 0
    private var nextSmoothed = 0
    private var nextCounted = 0
    private var nextDecided = 0
    private var floors = [QuantileTracker](repeating: QuantileTracker(), count: FilterBank.centres.count)
    private var isSpeech = false
    private var run = Run()

    private struct Frame: Sendable {
        var power: [Float]
        let isDigitalSilence: Bool
        /// Smoothed, in dBFS.
        var levels: [Float] = []
    }

    package init() {}

    /// - Parameter samples: 16 kHz, in [-1, 1].
    /// - Returns: whether the next frames, in order, are speech; the last frames, up to about one second, are
    ///   undecided.
    package mutating func append(_ samples: [Float]) -> [Bool] {
        unframed += samples
        var start = 0
        while unframed.count - start >= Self.frameLength {
            let frame = unframed[start..<start + Self.frameLength]
            let power = frame.reduce(0) { $0 + $1 * $1 } / Float(Self.frameLength)
            frames.append(Frame(power: bank.power(frame), isDigitalSilence: power < Self.digitalSilence))
            start += Self.frameLength
        }
        unframed.removeFirst(start)
        return advance(isEnd: false)
    }

    /// The undecided frames. Drops an incomplete frame.
    package mutating func finish() -> [Bool] { advance(isEnd: true) + run.finish() }

    private mutating func advance(isEnd: Bool) -> [Bool] {
        let end = firstFrame + frames.count
        let half = Self.smoothedFrames / 2
        while nextSmoothed < (isEnd ? end : end - half) { smooth(nextSmoothed, end: end) }
        var decisions: [Bool] = []
        while nextDecided < (isEnd ? end : nextSmoothed - Self.framesAhead) {
            // The floors use the frames from `framesBehind` before to `framesAhead` after the frame, whatever the chunk
            // sizes.
            while nextCounted < min(end, nextDecided + Self.framesAhead + 1) {
                count(frames[nextCounted - firstFrame], 1)
                nextCounted += 1
            }
            let old = nextDecided - Self.framesBehind - 1
            if old >= firstFrame { count(frames[old - firstFrame], -1) }
            decisions += run.append(decide(frames[nextDecided - firstFrame]))
            nextDecided += 1
        }
        let unused = nextDecided - Self.framesBehind - 1 - firstFrame
        if unused > 1_000 {
            frames.removeFirst(unused)
            firstFrame += unused
        }
        return decisions
    }

    private mutating func smooth(_ index: Int, end: Int) {
        let half = Self.smoothedFrames / 2
        let around = max(firstFrame, index - half)..<min(end, index + half + 1)
        frames[index - firstFrame].levels = FilterBank.centres.indices.map { band in
            let sum = around.reduce(Float(0)) { $0 + frames[$1 - firstFrame].power[band] }
            return 10 * log10(sum / Float(around.count) + 1e-9)
        }
        nextSmoothed += 1
    }

    private mutating func count(_ frame: Frame, _ change: Int) {
        guard !frame.isDigitalSilence else { return }
        for (band, level) in frame.levels.enumerated() { floors[band].count(level, change) }
    }

    private mutating func decide(_ frame: Frame) -> Bool {
        guard !frame.isDigitalSilence else {
            isSpeech = false
            return false
        }
        let excess = zip(frame.levels, floors).reduce(Float(0)) { $0 + max(0, $1.0 - $1.1.tenth) }
        isSpeech = excess / Float(floors.count) > (isSpeech ? Self.offset : Self.onset)
        return isSpeech
    }

    /// Bridges short gaps and drops short bursts.
    private struct Run: Sendable {
        private var open: [Bool] = []
        private var voiced = 0
        private var gap = 0

        mutating func append(_ isSpeech: Bool) -> [Bool] {
            if isSpeech {
                open.append(true)
                (voiced, gap) = (voiced + 1, 0)
                return voiced >= VoiceActivityDetector.fewestVoiced ? settle(asSpeech: true) : []
            }
            guard voiced > 0 else { return [false] }
            open.append(false)
            gap += 1
            if gap <= VoiceActivityDetector.hangover { return [] }
            let isLongEnough = voiced >= VoiceActivityDetector.fewestVoiced
            (voiced, gap) = (0, 0)
            return settle(asSpeech: isLongEnough)
        }

        mutating func finish() -> [Bool] { settle(asSpeech: voiced >= VoiceActivityDetector.fewestVoiced) }

        /// Decides the open frames; a gap at their end is not speech.
        private mutating func settle(asSpeech: Bool) -> [Bool] {
            defer { open = [] }
            let end = open.lastIndex(of: true) ?? -1
            return open.indices.map { asSpeech && $0 <= end }
        }
    }
}

/// The 10 % quantile of the counted levels, to a quarter of a decibel.
private struct QuantileTracker: Sendable {
    private static let lowest: Float = -90
    private static let binsPerDecibel: Float = 4
    private var bins = [Int32](repeating: 0, count: 400)
    private var total = 0

    mutating func count(_ level: Float, _ change: Int) {
        let bin = Int((level - Self.lowest) * Self.binsPerDecibel)
        bins[min(max(bin, 0), bins.count - 1)] += Int32(change)
        total += change
    }

    var tenth: Float {
        var left = total / 10
        for (bin, count) in bins.enumerated() {
            left -= Int(count)
            if left < 0 { return Self.lowest + Float(bin) / Self.binsPerDecibel }
        }
        return Self.lowest
    }
}
