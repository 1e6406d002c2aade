import Foundation

/// A video frame and its presentation time.
package struct VideoFrame: Sendable, Equatable {
    package let pixels: Pixels
    package let seconds: Double

    package init(pixels: Pixels, seconds: Double) { (self.pixels, self.seconds) = (pixels, seconds) }
}

/// Decodes frames of a video, upright and in 8-bit color, with `ffmpeg` from the PATH.
///
/// Source: for the choice of frames, transformers, `video_processing_utils.py`, `BaseVideoProcessor.sample_frames`.
package struct VideoReader: Sendable {
    package let frameCount: Int
    package let framesPerSecond: Double
    /// Whether it is HDR: PQ or HLG.
    private let isHDR: Bool
    private let file: URL
    private let ffmpeg: ExternalProgram

    /// - Throws: `MediaError` if this is not a video, or `ffmpeg` is not installed.
    package init(_ file: URL) throws(MediaError) {
        self.file = file
        guard FileManager.default.isReadableFile(atPath: file.path) else {
            throw MediaError(
                code: .unreadable, source: file.path, expected: "a readable file", found: "no such file",
                remedy: "check the path and its permissions")
        }
        ffmpeg = try ExternalProgram("ffmpeg", for: file.path)
        let probe = try ExternalProgram("ffprobe", for: file.path).start(
            [
                "-v", "error", "-select_streams", "v:0", "-count_packets", "-show_entries",
                "stream=nb_read_packets,avg_frame_rate,color_transfer", "-of", "default=noprint_wrappers=1",
                ExternalProgram.argument(file),
            ], source: file.path)
        let lines = String(decoding: try probe.readExactly(1 << 16), as: UTF8.self).split(separator: "\n")
        func value(_ key: String) -> Substring? { lines.first { $0.hasPrefix("\(key)=") }?.dropFirst(key.count + 1) }
        let rate = (value("avg_frame_rate") ?? "").split(separator: "/").compactMap { Double($0) }
        guard let count = value("nb_read_packets").flatMap({ Int($0) }), count > 0 else {
            throw MediaError(
                code: .empty, source: file.path, expected: "a film", found: "a file without a picture",
                remedy: "check the file")
        }
        frameCount = count
        isHDR = ["smpte2084", "arib-std-b67"].contains(value("color_transfer") ?? "")
        framesPerSecond = rate.count == 2 && rate[0] > 0 && rate[1] > 0 ? rate[0] / rate[1] : Self.unknownRate
    }

    /// The frame rate that the reference assumes if it is unknown.
    package static let unknownRate = 24.0

    /// Which frames of a video are sampled.
    package enum Choice: Sendable, Equatable {
        /// This many frames at equal distances.
        case count(Int)
        /// This many frames per second; if that exceeds `limit`, `limit` frames.
        case rate(Double, limit: Int)
    }

    /// Source: for `rate`, transformers, `video_processing_embedding_gemma2.py`, `sample_frames`.
    package static func indices(frames: Int, framesPerSecond: Double, _ choice: Choice) -> [Int] {
        switch choice {
        case .count(let count): return indices(frames: frames, count: count)
        case .rate(let rate, let limit):
            // At least one, as in the reference. The bound covers any quotient that a damaged file may give.
            let wanted = Double(frames) / framesPerSecond * rate
            let step = framesPerSecond / rate
            let count = frames == 0 ? 0 : max(1, Int(min(wanted, Double(1 << 24))))
            func index(_ place: Int) -> Int { Int(min(Double(place) * step, Double(frames - 1))) }
            guard count > limit else { return (0..<count).map(index) }
            let distance = Double(count - 1) / Double(max(1, limit - 1))
            return (0..<limit).map { index($0 > 0 && $0 == limit - 1 ? count - 1 : Int(Double($0) * distance)) }
        }
    }

    /// Indices of the sampled frames: `floor(i · frames / count)`; all frames if there are fewer.
    package static func indices(frames: Int, count: Int) -> [Int] {
        let count = min(count, frames)
        return (0..<count).map { $0 * frames / count }
    }

    /// Passes the chosen frames one by one to `use`, so that only one is in memory at a time.
    ///
    /// A frame that is chosen twice is passed twice.
    ///
    /// - Throws: `MediaError` if the video cannot be decoded; rethrows errors of `use`.
    package func read(_ choice: Choice, _ use: (VideoFrame) throws -> Void) throws {
        let indices = Self.indices(frames: frameCount, framesPerSecond: framesPerSecond, choice)
        let distinct = indices.enumerated().filter { $0 == 0 || indices[$0 - 1] != $1 }.map(\.element)
        let selection = distinct.map { "eq(n\\,\($0))" }.joined(separator: "+")
        let run = try ffmpeg.start(
            [
                "-v", "error", "-nostdin", "-i", ExternalProgram.argument(file), "-map", "0:v:0", "-vf",
                (["select=\(selection)"] + (try toneMapping()) + ["format=rgb24"]).joined(separator: ","), "-fps_mode",
                "passthrough", "-frames:v", "\(distinct.count)", "-f", "image2pipe",
                "-c:v", "ppm", "-",
            ], source: file.path)
        var frames = 0
        while frames < distinct.count, let pixels = try Self.portablePixmap(run, file.path) {
            let frame = VideoFrame(pixels: pixels, seconds: Double(distinct[frames]) / framesPerSecond)
            for _ in indices.lazy.filter({ $0 == distinct[frames] }) { try use(frame) }
            frames += 1
        }
        guard frames > 0 else {
            throw MediaError(
                code: .malformed, source: file.path, expected: "a film", found: "no frame that decodes",
                remedy: "check the file")
        }
    }

    /// Filters that tone-map HDR video to 8-bit colors: highlights are rolled off, as on a display without HDR.
    private func toneMapping() throws(MediaError) -> [String] {
        guard isHDR else { return [] }
        let filters = try ffmpeg.start(["-v", "error", "-filters"], source: file.path).readExactly(1 << 20)
        // Without libzimg the video is shown unmapped, a little gray.
        guard String(decoding: filters, as: UTF8.self).contains(" zscale ") else { return [] }
        return [
            "zscale=t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709", "tonemap=hable:desat=0",
            "zscale=t=bt709:m=bt709:r=tv",
        ]
    }

    /// One PPM image, as ffmpeg writes it: `P6\nWIDTH HEIGHT\n255\n` and the bytes; nil at the end.
    private static func portablePixmap(_ run: ExternalProgram.Run, _ name: String) throws(MediaError) -> Pixels? {
        var header = ""
        while header.count(where: { $0 == "\n" }) < 3 {
            let byte = try run.readExactly(1)
            if byte.isEmpty, header.isEmpty { return nil }
            guard !byte.isEmpty, header.utf8.count < 64 else { throw malformed(name) }
            header += String(decoding: byte, as: Unicode.ASCII.self)
        }
        let fields = header.split(whereSeparator: \.isWhitespace)
        guard fields.count == 4, fields[0] == "P6", fields[3] == "255", let width = Int(fields[1]),
            let height = Int(fields[2]), (1...65_536).contains(width), (1...65_536).contains(height)
        else { throw malformed(name) }
        let bytes = try run.readExactly(width * height * 3)
        return try Pixels(width: width, height: height, rgb: [UInt8](bytes), name: name)
    }

    private static func malformed(_ name: String) -> MediaError {
        MediaError(
            code: .malformed, source: name, expected: "frames as PPM from ffmpeg", found: "something else",
            remedy: "install another version of ffmpeg")
    }
}
