import Foundation

/// Selects one of several audio tracks.
public enum SoundTrack: Sendable, Equatable {
    /// The track's number, from 1.
    case number(Int)
    /// All ISO 639 codes of one language, for example `de`, `deu` and `ger`.
    case language(Set<String>)
}

/// The audio of any file that `ffmpeg` reads, placed by the file's timestamps: gaps between packets become silence, and
/// if the clock drifts from the samples, the sound is stretched or compressed by a twentieth until they agree.
package final class FFmpegSound: SoundSource {
    private let name: String
    private let input: FFmpegInput
    private let run: ExternalProgram.Run
    private let track: MediaProbe.Stream
    private let sampleRate: Int
    private let channels: Int
    private var packets: MatroskaPackets
    private var timeline: SoundTimeline
    private var stream: ChannelStream
    private var isFinished = false
    /// Whether the whole file, including its end, has been checked for damage.
    private var isJudged = false
    /// End of the track according to the header, in seconds; nil if it would be a guess.
    private let announcedEnd: Double?
    private let hasCoarseTimes: Bool
    private var damage: MediaError?

    package private(set) var notices: [MediaNotice] = []
    package private(set) var lost: [Range<Double>] = []
    package var announcedDurationInSeconds: Double? { announcedEnd }

    /// - Throws: `MediaError` if `ffmpeg` is not installed, or finds no audio, or not this track.
    package convenience init(_ file: URL, channels: AudioChannels = .mix, track: SoundTrack? = nil) throws(MediaError) {
        try self.init(SourceBytes(contentsOf: file), channels, track)
    }

    /// - Parameter name: the name of these bytes in errors.
    package convenience init(
        _ bytes: Data, name: String, channels: AudioChannels = .mix, track: SoundTrack? = nil
    ) throws(MediaError) {
        try self.init(SourceBytes(bytes, name: name), channels, track)
    }

    init(_ source: SourceBytes, _ output: AudioChannels, _ choice: SoundTrack?) throws(MediaError) {
        name = source.name
        let reads = SoundFormat.name(source.bytes) ?? "films and other sound"
        let ffmpeg = try ExternalProgram("ffmpeg", for: name, reads: reads)
        input = try FFmpegInput(source)
        let probe = try MediaProbe(input, name, reads)
        let tracks = probe.streams.filter { $0.codecType == "audio" }
        track = try Self.choose(choice, tracks, name)
        if tracks.count > 1, choice == nil { notices.append(Self.notice(tracks, track)) }
        sampleRate = Int(track.sampleRate ?? "") ?? 48_000
        let trackChannels = max(1, track.channels ?? 1)
        // ffmpeg downmixes surround sound; two channels are checked for cancellation here.
        let isSurround = output == .mix && trackChannels > 2
        let channels = isSurround ? 1 : trackChannels
        // Downmixing to floats does not clip, so it could exceed full scale.
        let format = isSurround ? PCMStream.Format.s16le : .f32le
        packets = MatroskaPackets(format: format)
        try SoundLimits.check(source, channels: channels, sampleRate: sampleRate)
        self.channels = channels
        announcedEnd = probe.announcedEnd(track)
        hasCoarseTimes = probe.hasCoarseTimes
        stream = try ChannelStream(name, sampleRate: sampleRate, channels: channels, output: output)
        timeline = SoundTimeline(
            sampleRate: sampleRate, channels: channels,
            tolerance: hasCoarseTimes ? SoundTimeline.coarse : SoundTimeline.fine)
        run = try ffmpeg.start(
            ["-v", "error", "-nostdin"] + input.arguments + [
                "-map", "0:\(track.index)", "-ac", "\(channels)", "-ar", "\(sampleRate)", "-c:a",
                "pcm_\(format.rawValue)",
                "-avoid_negative_ts", "disabled", "-f", "matroska", "-",
            ], source: name, input: input.handle)
    }

    private static func choose(_ choice: SoundTrack?, _ tracks: [MediaProbe.Stream], _ name: String)
        throws(MediaError) -> MediaProbe.Stream
    {
        guard !tracks.isEmpty else {
            throw MediaError(
                code: .empty, source: name, expected: "sound", found: "a file without a sound track",
                remedy: "check the file")
        }
        let found: MediaProbe.Stream? =
            switch choice {
            case nil: tracks.first { $0.disposition?["default"] == 1 } ?? tracks[0]
            case .number(let number): tracks.indices.contains(number - 1) ? tracks[number - 1] : nil
            case .language(let codes): tracks.first { codes.contains($0.tags?["language"] ?? "") }
            }
        guard let found else {
            throw SoundTrack.missing(choice, in: list(tracks), name)
        }
        return found
    }

    private static func list(_ tracks: [MediaProbe.Stream]) -> String {
        tracks.enumerated().map { index, track in
            let words = [track.tags?["language"], track.tags?["title"]].compactMap { $0 }.filter { $0 != "und" }
            return "\(index + 1)" + (words.isEmpty ? "" : " (\(words.joined(separator: ", ")))")
        }.joined(separator: ", ")
    }

    private static func notice(_ tracks: [MediaProbe.Stream], _ heard: MediaProbe.Stream) -> MediaNotice {
        let number = (tracks.firstIndex { $0.index == heard.index } ?? 0) + 1
        return MediaNotice(
            "\(tracks.count) sound tracks, \(list(tracks)): track \(number) is heard; --track chooses", isWarning: false
        )
    }

    // MARK: Reading

    package func readChannels() throws(MediaError) -> [[Float]]? {
        while true {
            if let samples = timeline.take() { return try stream.append(samples) }
            if isFinished {
                if isJudged {
                    if let damage { throw damage }
                    return nil
                }
                isJudged = true
                judge()
                return stream.finish()
            }
            if let packet = try packets.next(name) {
                timeline.place(packet)
                continue
            }
            do {
                if let bytes = try run.readIfReady(upTo: 1 << 18) {
                    if bytes.isEmpty { return try stream.append([]) }
                    packets.append(bytes)
                } else {
                    isFinished = true
                }
            } catch {
                (isFinished, damage) = (true, error)
            }
        }
    }

    /// Shorter differences between the header and the decoded length are padding.
    private static let shortestLoss = 0.5
    /// Longer gaps are pauses of the recorder, even in a damaged file.
    private static let longestHole = 30.0

    private func judge() {
        let complaints = run.complaints
        notices += complaints.prefix(3).map { MediaNotice("ffmpeg: \($0)") }
        if complaints.count > 3 { notices.append(MediaNotice("ffmpeg: and \(complaints.count - 3) more complaints")) }
        let isBroken =
            hasCoarseTimes && !complaints.isEmpty
            || complaints.contains { $0.contains("rror while decoding") || $0.contains("rror submitting packet") }
        // ASF has no pauses shorter than the duration that its packets can have: such a gap is a lost packet.
        let longest = isBroken ? Self.longestHole : hasCoarseTimes ? SoundTimeline.coarse : 0
        lost = timeline.gaps.filter { $0.upperBound - $0.lowerBound < longest }
        let end = timeline.seconds
        if let announcedEnd, announcedEnd - end > Self.shortestLoss { lost.append(end..<announcedEnd) }
        guard let last = lost.last, damage == nil else { return }
        func time(_ seconds: Double) -> String { String(format: "%.2f s", seconds) }
        let isCut = last.lowerBound >= end
        let total = lost.reduce(0) { $0 + $1.upperBound - $1.lowerBound }
        damage = MediaError(
            code: isCut ? .truncated : .malformed, source: name,
            expected: isCut ? "a whole recording" : "sound that decodes",
            found: isCut
                ? "\(String(format: "%.2f", end)) of \(time(last.upperBound)) of sound"
                : "\(time(total)) that does not, from \(time(lost[0].lowerBound)) on",
            remedy: "copy or download it again")
    }
}

extension SoundTrack {
    static func missing(_ choice: SoundTrack?, in tracks: String, _ name: String) -> MediaError {
        let wanted =
            switch choice {
            case .number(let number): "sound track \(number)"
            case .language(let codes): "a sound track in \(codes.sorted().joined(separator: " or "))"
            case nil: "a sound track"
            }
        return MediaError(
            code: .unsupported, source: name, expected: wanted, found: "tracks \(tracks)",
            remedy: "choose one of them with --track")
    }
}

/// How a file is passed to `ffmpeg`: by path, or as an open file without a name.
///
/// Sendable although it holds a handle: the handle is only passed on.
final class FFmpegInput: @unchecked Sendable {
    let arguments: [String]
    let handle: FileHandle?

    /// Writes bytes that are not in a file to a temporary one, because demuxing MP4 needs to seek.
    init(_ source: SourceBytes) throws(MediaError) {
        guard source.file == nil else {
            (arguments, handle) = (["-i", "file:\(source.name)"], nil)
            return
        }
        var path = Array("\(NSTemporaryDirectory())gemma4-XXXXXX\0".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw Self.noRoom(source, errno) }
        unlink(path)
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do { try handle.write(contentsOf: source.bytes) } catch { throw Self.noRoom(source, errno) }
        self.handle = handle
        arguments = ["-i", "file:/dev/stdin"]
    }

    private static func noRoom(_ source: SourceBytes, _ code: Int32) -> MediaError {
        source.error(
            .unreadable, expected: "room for a copy in \(NSTemporaryDirectory())",
            found: String(cString: strerror(code)),
            remedy: "set TMPDIR to a folder with room, or write it to a file first")
    }
}

/// The output of `ffprobe` for a file.
struct MediaProbe: Decodable {
    struct Stream: Decodable {
        let index: Int
        let codecType: String?
        let sampleRate: String?
        let channels: Int?
        let startTime, duration: String?
        let tags: [String: String]?
        let disposition: [String: Int]?
    }
    struct Format: Decodable {
        let formatName: String?
        let startTime, duration: String?
    }

    let streams: [Stream]
    let format: Format

    init(_ input: FFmpegInput, _ name: String, _ reads: String) throws(MediaError) {
        try? input.handle?.seek(toOffset: 0)
        let run = try ExternalProgram("ffprobe", for: name, reads: reads).start(
            ["-v", "error", "-print_format", "json", "-show_streams", "-show_format"] + input.arguments, source: name,
            input: input.handle)
        let bytes: Data
        do { bytes = try run.readExactly(1 << 24) } catch { throw Self.unknown(name, run.complaints.last) }
        try? input.handle?.seek(toOffset: 0)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let probe = try? decoder.decode(MediaProbe.self, from: bytes) else { throw Self.unknown(name, nil) }
        self = probe
    }

    private static func unknown(_ name: String, _ complaint: String?) -> MediaError {
        MediaError(
            code: .unsupported, source: name, expected: "sound or a film that ffmpeg reads",
            found: complaint.map { $0.hasPrefix(name) ? String($0.dropFirst(name.count + 2)) : $0 }
                ?? "something else", remedy: "check the file, or convert it to WAV or FLAC")
    }

    /// Containers whose headers hold the duration of a track; for others `ffprobe` estimates it from the file size.
    private static let announcing: Set<String> = [
        "mov", "matroska", "asf", "avi", "flv", "wav", "caf", "wv", "ape", "tta", "aiff", "w64",
    ]

    /// ASF: a packet holds seconds of sound, and ffmpeg gives decoded sound the timestamp of the next packet.
    var hasCoarseTimes: Bool { format.formatName == "asf" }

    /// End of a track according to the header, in seconds from the beginning of the file.
    func announcedEnd(_ track: Stream) -> Double? {
        let names = (format.formatName ?? "").split(separator: ",").map(String.init)
        guard names.contains(where: Self.announcing.contains) else { return nil }
        func number(_ text: String?) -> Double? { text.flatMap { Double($0) } }
        let begin = number(format.startTime) ?? 0
        // Matroska: hh:mm:ss.nnnnnnnnn, from the beginning of the file.
        if let parts = track.tags?["DURATION"]?.split(separator: ":").compactMap({ Double($0) }), parts.count == 3 {
            return (parts[0] * 60 + parts[1]) * 60 + parts[2] - begin
        }
        if let duration = number(track.duration) { return (number(track.startTime) ?? begin) + duration - begin }
        // The duration of the file is that of its longest track.
        return streams.count == 1 ? number(format.duration) : nil
    }
}

/// Places decoded packets at their timestamps.
struct SoundTimeline {
    private let sampleRate: Int
    private let channels: Int
    /// Frames returned or ready.
    private var frames = 0
    /// Offset of the clock after a restart, in seconds.
    private var origin = 0.0
    /// End of the last packet by its timestamp; nil before the first.
    private var lastEnd: Double?
    private var ready: [Float] = []
    /// Silence before `ready`, in frames.
    private var silence = 0
    /// Gaps between packets, in seconds.
    private(set) var gaps: [Range<Double>] = []

    /// Timestamps within this many seconds of the samples agree: they are in milliseconds and often less exact.
    private var tolerance: Double
    static let fine = 0.04
    /// The tolerance until the timestamps have proved more exact.
    static let coarse = 3.0
    private static let proved = 0.3
    /// Number of consecutive packets that began at the end of the previous one, to a millisecond or two.
    private var contiguous = 0
    private static let enoughContiguous = 12
    /// A clock that goes back by more has restarted: another recording follows.
    private static let restart = 1.0

    init(sampleRate: Int, channels: Int, tolerance: Double = fine) {
        (self.sampleRate, self.channels, self.tolerance) = (sampleRate, channels, tolerance)
    }

    /// End of the sound, in seconds.
    var seconds: Double { Double(frames) / Double(sampleRate) }

    mutating func place(_ packet: MatroskaPackets.Packet) {
        let count = packet.samples.count / channels
        let length = Double(count) / Double(sampleRate)
        var start = packet.seconds + origin
        if let lastEnd, start < lastEnd - Self.restart {
            origin = seconds - packet.seconds
            start = seconds
        }
        if tolerance == Self.coarse, let lastEnd {
            contiguous = abs(start - lastEnd) < 0.002 ? contiguous + 1 : 0
            if contiguous == Self.enoughContiguous {
                // The first timestamp is as coarse.
                tolerance = Self.proved
                origin += seconds - start
                self.lastEnd = seconds
                start = seconds
            }
        }
        let hole = start - (lastEnd ?? 0)
        var late = seconds - start
        if hole > tolerance, late < -tolerance {
            let gap = Int((-late * Double(sampleRate)).rounded())
            gaps.append(seconds..<seconds + Double(gap) / Double(sampleRate))
            silence += gap
            frames += gap
            late = 0
        }
        lastEnd = start + length
        let samples = abs(late) > tolerance ? stretched(packet.samples, by: late > 0 ? -1 : 1) : packet.samples
        ready += samples
        frames += samples.count / channels
    }

    /// The next samples, including silence; nil if another packet is needed.
    mutating func take() -> [Float]? {
        if silence > 0 {
            let count = min(silence, 1 << 16)
            silence -= count
            return [Float](repeating: 0, count: count * channels)
        }
        guard !ready.isEmpty else { return nil }
        defer { ready = [] }
        return ready
    }

    /// Lengthens or shortens the sound by a twentieth, by linear interpolation.
    private func stretched(_ samples: [Float], by direction: Int) -> [Float] {
        let count = samples.count / channels
        let target = count + direction * count / 20
        guard count > 1, target > 1 else { return samples }
        return (0..<target * channels).map { index in
            let position = Double(index / channels) * Double(count - 1) / Double(target - 1)
            let frame = min(Int(position), count - 2)
            let share = Float(position - Double(frame))
            let first = samples[frame * channels + index % channels]
            return first + share * (samples[(frame + 1) * channels + index % channels] - first)
        }
    }
}

/// Demuxes the Matroska stream with one PCM track that `ffmpeg` writes to a pipe.
///
/// Source: RFC 8794 (EBML), RFC 9559 (Matroska).
struct MatroskaPackets {
    struct Packet {
        let seconds: Double
        let samples: [Float]
    }

    let format: PCMStream.Format
    private var bytes: [UInt8] = []
    private var place = 0
    private var cluster = 0

    init(format: PCMStream.Format) { self.format = format }

    mutating func append(_ more: Data) {
        bytes.removeFirst(place)
        place = 0
        bytes += more
    }

    /// Nil if more bytes are needed.
    mutating func next(_ name: String) throws(MediaError) -> Packet? {
        while let (id, afterID) = number(at: place, keepsMarker: true),
            let (size, body) = number(at: afterID, keepsMarker: false)
        {
            switch id {
            case 0x1853_8067, 0x1F43_B675, 0xA0:  // Segment, Cluster, BlockGroup: descend
                place = body
                continue
            default: break
            }
            guard size < 1 << 30 else {
                throw MediaError(
                    code: .malformed, source: name, expected: "Matroska from ffmpeg", found: "something else",
                    remedy: "install another version of ffmpeg")
            }
            guard body + size <= bytes.count else { return nil }
            place = body + size
            if id == 0xE7 { cluster = bytes[body..<place].reduce(0) { $0 << 8 | Int($1) } }
            guard id == 0xA3 || id == 0xA1, let (_, start) = number(at: body, keepsMarker: false), start + 3 <= place
            else { continue }
            let time = cluster + Int(Int16(bitPattern: UInt16(bytes[start]) << 8 | UInt16(bytes[start + 1])))
            return Packet(
                seconds: Double(time) / 1_000, samples: format.samples(bytes[start + 3..<place]))
        }
        return nil
    }

    /// An EBML variable-length integer, whose first byte encodes its length.
    private func number(at place: Int, keepsMarker: Bool) -> (value: Int, end: Int)? {
        guard place < bytes.count else { return nil }
        let length = bytes[place].leadingZeroBitCount + 1
        guard length <= 8, place + length <= bytes.count else { return nil }
        let first = keepsMarker ? Int(bytes[place]) : Int(bytes[place]) & (0xFF >> length)
        return (bytes[place + 1..<place + length].reduce(first) { $0 << 8 | Int($1) }, place + length)
    }
}
