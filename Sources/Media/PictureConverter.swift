import Foundation

/// Decodes image formats that no linked library reads, with a program on the PATH that converts them to PNG, which
/// preserves all pixels, alpha and 16 bits.
///
/// Programs instead of libraries, so that a service that links this module need not install the codecs of every format.
struct PictureConverter {
    enum Format: Equatable, Sendable {
        case gif, bmp, tiff, heic, avif

        var name: String {
            switch self {
            case .gif: "GIF"
            case .bmp: "BMP"
            case .tiff: "TIFF"
            case .heic: "HEIC"
            case .avif: "AVIF"
            }
        }

    }

    /// ffmpeg's demuxer for the format, named explicitly so that neither a wrong extension nor a number in the file
    /// name misleads ffmpeg. Nil: libheif's program, which joins tiles and applies the file's rotation, but reads no
    /// animations.
    private var demuxer: String? {
        switch format {
        case .gif: "gif"
        case .bmp: "bmp_pipe"
        case .tiff: "tiff_pipe"
        case .heic, .avif:
            ["avis", "msf1", "hevc", "hevx"].contains {
                source.bytes.slice(at: 8, count: 4)?.elementsEqual($0.utf8) == true
            }
                ? "mov" : nil
        }
    }

    let source: SourceBytes
    let format: Format

    /// Width and height according to the header, before decoding.
    ///
    /// - Throws: `MediaError` if the header has none.
    func size() throws(MediaError) -> (width: Int, height: Int) {
        if format == .tiff, let kind = TIFFDirectory(source.bytes)?.unfaithfulKind {
            throw source.error(
                .unsupported,
                expected: "a TIFF file of whole strips, of at most 16 bits, in RGB, grey or with a palette",
                found: kind, remedy: "convert it to PNG")
        }
        guard let size = announcedSize, size.width > 0, size.height > 0 else {
            throw source.error(
                .malformed, expected: "a whole \(format.name) file", found: "one without a size",
                remedy: "export or download the picture again")
        }
        return size
    }

    private var announcedSize: (width: Int, height: Int)? {
        func number(at offset: Int, _ count: Int) -> Int? {
            source.bytes.slice(at: offset, count: count)?.littleEndianValue
        }
        switch format {
        case .gif:
            guard let width = number(at: 6, 2), let height = number(at: 8, 2) else { return nil }
            return (width, height)
        case .bmp:
            let isOld = number(at: 14, 4) == 12
            guard let width = number(at: 18, isOld ? 2 : 4), let height = number(at: isOld ? 20 : 22, isOld ? 2 : 4)
            else { return nil }
            // Negative if rows are stored top-down.
            return (width, isOld ? height : Int(Int32(truncatingIfNeeded: height).magnitude))
        case .tiff:
            let directory = TIFFDirectory(source.bytes)
            guard let width = directory?.number(256).flatMap(Int.init(exactly:)),
                let height = directory?.number(257).flatMap(Int.init(exactly:))
            else { return nil }
            return (width, height)
        case .heic, .avif:
            // The largest of the image, its tiles and its thumbnails.
            return HEIFBoxes(source.bytes).sizes.max {
                Double($0.width) * Double($0.height) < Double($1.width) * Double($1.height)
            }
        }
    }

    /// The image as a PNG file; the first if the file holds several.
    ///
    /// - Throws: `MediaError` if the program is not installed, or cannot decode the image.
    func png() throws(MediaError) -> Data {
        let folder = FileManager.default.temporaryDirectory.appending(path: "gemma4-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        } catch {
            throw source.error(
                .unreadable, expected: "a place for temporary files", found: error.localizedDescription,
                remedy: "set TMPDIR to a folder that can be written to")
        }
        let png = if let demuxer { try decode(demuxer, in: folder) } else { try convert(in: folder) }
        guard !png.isEmpty else { throw malformed("one without a picture") }
        return png
    }

    private func decode(_ demuxer: String, in folder: URL) throws(MediaError) -> Data {
        let ffmpeg = try ExternalProgram("ffmpeg", for: source.name, reads: format.name)
        let run = try ffmpeg.start(
            [
                "-v", "error", "-nostdin", "-f", demuxer,
            ] + (demuxer == "mov" ? [] : ["-noautorotate"]) + [  // by the matrix of a track; we rotate images
                "-i", ExternalProgram.argument(try file(in: folder)), "-frames:v", "1",
            ] + (hasNoAlpha ? ["-pix_fmt", "rgb24"] : []) + [
                "-c:v", "png", "-compression_level", "1", "-f", "image2pipe", "-",
            ], source: source.name)
        var png = Data()
        while case let bytes = try run.read(upTo: 1 << 20), !bytes.isEmpty { png += bytes }
        // It exits with 0 for an incomplete image too, and reports it on standard error.
        if let complaint = run.complaint { throw malformed(complaint) }
        return png
    }

    /// The fourth byte of a pixel is unused in a plain 32-bit BMP; ffmpeg takes it for alpha if it is not always 0.
    private var hasNoAlpha: Bool {
        func number(at offset: Int) -> Int? { source.bytes.slice(at: offset, count: 4)?.littleEndianValue }
        return format == .bmp && number(at: 30) == 0 && number(at: 28).map { $0 & 0xFFFF } == 32
    }

    private func convert(in folder: URL) throws(MediaError) -> Data {
        let program = try ExternalProgram(
            "heif-convert", "heif-dec", for: source.name, reads: format.name,
            packages: ("libheif-examples", "libheif"))
        let run = try program.start(
            // An absolute path cannot be taken for an option.
            [try file(in: folder).absoluteURL.path, folder.appending(path: "picture.png").path], source: source.name)
        while try !run.read(upTo: 1 << 12).isEmpty {}  // its messages
        // It numbers the output files of a multi-image file.
        for name in ["picture.png", "picture-1.png"] {
            if let png = try? Data(contentsOf: folder.appending(path: name)) { return png }
        }
        return Data()
    }

    /// A file that holds the image: the source file, or a temporary one for the program.
    private func file(in folder: URL) throws(MediaError) -> URL {
        if let file = source.file { return file }
        let file = folder.appending(path: "picture")
        do {
            try source.bytes.write(to: file)
        } catch {
            throw source.error(
                .unreadable, expected: "room for a temporary file", found: error.localizedDescription,
                remedy: "set TMPDIR to a folder with room")
        }
        return file
    }

    private func malformed(_ found: String) -> MediaError {
        source.error(
            .malformed, expected: "a whole \(format.name) file", found: found,
            remedy: "export or download the picture again")
    }
}

/// The boxes of a HEIF file that hold the sizes of its images.
///
/// Source: ISO/IEC 23008-12, 6.5.3, `ispe`.
struct HEIFBoxes {
    private(set) var sizes: [(width: Int, height: Int)] = []

    init(_ bytes: Data) { read(bytes, ["meta", "iprp", "ipco", "ispe"]) }

    private mutating func read(_ bytes: Data, _ path: ArraySlice<String>) {
        guard let wanted = path.first else { return }
        var place = 0
        while let head = bytes.slice(at: place, count: 8) {
            var (length, start) = (head.prefix(4).bigEndianValue, 8)
            if length == 1 {
                guard let long = bytes.slice(at: place + 8, count: 8), long.first == 0 else { return }
                (length, start) = (long.bigEndianValue, 16)
            }
            if length == 0 { length = bytes.count - place }  // to the end
            guard length >= start else { return }
            let isWanted = head.suffix(4).elementsEqual(wanted.utf8)
            if isWanted, let body = bytes.slice(at: place + start, count: min(length, bytes.count - place) - start) {
                if wanted == "ispe" {
                    if let size = body.slice(at: 4, count: 8) {
                        sizes.append((size.prefix(4).bigEndianValue, size.suffix(4).bigEndianValue))
                    }
                } else {
                    // `meta` has a version and flags before its boxes.
                    read(Data(wanted == "meta" ? body.dropFirst(4) : body), path.dropFirst())
                }
            }
            place += length
        }
    }
}
