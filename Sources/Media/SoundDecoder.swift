/// Decodes one part of a file, with a fixed sample rate and channel count. A class because reading moves its position.
protocol SoundDecoder: AnyObject {
    /// In hertz.
    var sampleRate: Int { get }
    var channels: Int { get }
    /// Number of frames according to the header; 0 or far too many if the header does not know.
    var announcedFrames: Int { get }
    /// The next frames, at most `frames`: `[frames, channels]`, nominally in [-1, 1]; empty at the end.
    func read(frames: Int) throws(MediaError) -> [Float]
}

/// Outside these limits the header is wrong, or the recording is not speech.
enum SoundLimits {
    static let rates = 1_000...768_000
    static let mostChannels = 64

    /// - Throws: `MediaError` for a recording outside them.
    static func check(_ source: SourceBytes, channels: Int, sampleRate: Int) throws(MediaError) {
        guard (1...mostChannels).contains(channels), rates.contains(sampleRate) else {
            throw source.error(
                .tooLarge,
                expected: "1 to \(mostChannels) channels at \(rates.lowerBound) to \(rates.upperBound) Hz",
                found: "\(channels) channels at \(sampleRate) Hz",
                remedy: "unless the header is damaged, convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
        }
    }
}
