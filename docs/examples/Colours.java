// Colours as vectors in a vecfs mount: java Colours.java MOUNT
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

public class Colours {
	/** Numbers as little-endian float32. */
	static byte[] floats(float... numbers) {
		ByteBuffer bytes = ByteBuffer.allocate(4 * numbers.length).order(ByteOrder.LITTLE_ENDIAN);
		for (float number : numbers)
			bytes.putFloat(number);
		return bytes.array();
	}

	public static void main(String[] arguments) throws IOException {
		Path mount = Path.of(arguments[0]);
		Map<String, byte[]> colours = Map.of("red", floats(1, 0, 0), "orange", floats(1, 0.5f, 0),
			"blue", floats(0, 0, 1));
		for (var colour : colours.entrySet())
			Files.write(mount.resolve("vectors").resolve(colour.getKey()), colour.getValue());

		var answer = new ByteArrayOutputStream();
		try (var run = new RandomAccessFile(mount.resolve("query/2/run").toFile(), "rw")) {
			run.write(floats(1, 0.2f, 0.1f));
			byte[] part = new byte[4096];
			for (int n = run.read(part); n > 0; n = run.read(part))
				answer.write(part, 0, n);
		}
		for (String line : answer.toString("UTF-8").split("\n")) {
			String[] fields = line.split("\t");
			System.out.printf(Locale.ROOT, "%s\t%.3f%n", fields[0], Double.parseDouble(fields[1]));
		}

		for (String name : colours.keySet())
			Files.delete(mount.resolve("vectors").resolve(name));
	}
}
