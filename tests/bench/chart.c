/*
 * chart.c - x: recall, spaced by -log10(1 - recall), so that .99 lies as far from .9 as .999 from
 * .99; y: queries a second, logarithmic. A bar at each point reaches from the lowest round to the
 * highest.
 */
#include "tests/bench/chart.h"

#include <math.h>
#include <stdio.h>

#define WIDTH 920.0
#define HEIGHT 480.0
#define LEFT 70.0
#define RIGHT 180.0
#define TOP 70.0
#define BOTTOM 60.0

struct frame {
	double x_low, x_high, y_low, y_high; /* in transformed units */
	FILE *out;
};

static double recall_unit(double recall)
{
	return -log10(1.0 - fmin(recall, 0.9999));
}

static double x_of(const struct frame *frame, double recall)
{
	return LEFT + (recall_unit(recall) - frame->x_low) / (frame->x_high - frame->x_low) *
			      (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *frame, double rate)
{
	return HEIGHT - BOTTOM -
	       (log10(rate) - frame->y_low) / (frame->y_high - frame->y_low) *
		       (HEIGHT - TOP - BOTTOM);
}

static void style(FILE *out)
{
	fputs("<style>\n"
	      ".back { fill: #ffffff } .text { fill: #24292f } .faint { fill: #57606a }\n"
	      ".grid { stroke: #d8dee4; stroke-width: 1 } .axis { stroke: #57606a }\n"
	      "text { font: 13px system-ui, sans-serif } .title { font-size: 16px; font-weight: 600 }\n"
	      ".c0 { stroke: #0a63c9; fill: #0a63c9 } .c1 { stroke: #c2410c; fill: #c2410c }\n"
	      ".c2 { stroke: #6d7681; fill: #6d7681 } .c3 { stroke: #15803d; fill: #15803d }\n"
	      "polyline { fill: none !important; stroke-width: 2.2 }\n"
	      ".dashed { stroke-dasharray: 6 4; stroke-width: 1.6 } .bar { stroke-width: 1.2 }\n"
	      "@media (prefers-color-scheme: dark) {\n"
	      ".back { fill: #0d1117 } .text { fill: #e6edf3 } .faint { fill: #9da7b3 }\n"
	      ".grid { stroke: #30363d } .axis { stroke: #9da7b3 }\n"
	      ".c0 { stroke: #58a6ff; fill: #58a6ff } .c1 { stroke: #f78a4e; fill: #f78a4e }\n"
	      ".c2 { stroke: #9da7b3; fill: #9da7b3 } .c3 { stroke: #4ac26b; fill: #4ac26b }\n"
	      "}\n</style>\n",
	      out);
}

static void grid_line(const struct frame *frame, double x1, double y1, double x2, double y2)
{
	fprintf(frame->out,
		"<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1, y1,
		x2, y2);
}

static void x_axis(const struct frame *frame)
{
	static const double ticks[] = {0.8,  0.85, 0.9,	  0.93,	 0.95, 0.97,
				       0.98, 0.99, 0.995, 0.998, 0.999};

	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		double x = x_of(frame, ticks[i]), unit = recall_unit(ticks[i]);

		if (unit < frame->x_low || unit > frame->x_high)
			continue;
		grid_line(frame, x, TOP, x, HEIGHT - BOTTOM);
		fprintf(frame->out,
			"<text class=\"faint\" x=\"%.1f\" y=\"%.1f\" "
			"text-anchor=\"middle\">%.4g</text>\n",
			x, HEIGHT - BOTTOM + 20, ticks[i]);
	}
	fprintf(frame->out,
		"<text class=\"text\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">recall@10</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15);
}

static void y_axis(const struct frame *frame)
{
	static const double steps[] = {1, 2, 3, 5, 7};

	for (int power = 0; power < 8; power++)
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			double rate = steps[i] * pow(10, power), y = y_of(frame, rate);

			if (log10(rate) < frame->y_low || log10(rate) > frame->y_high)
				continue;
			grid_line(frame, LEFT, y, WIDTH - RIGHT, y);
			fprintf(frame->out,
				"<text class=\"faint\" x=\"%.1f\" y=\"%.1f\" "
				"text-anchor=\"end\">%.0f</text>\n",
				LEFT - 8, y + 4, rate);
		}
	fprintf(frame->out,
		"<text class=\"text\" transform=\"translate(16 %.1f) rotate(-90)\" "
		"text-anchor=\"middle\">queries a second</text>\n",
		(TOP + HEIGHT - BOTTOM) / 2);
}

static void draw_curve(const struct frame *frame, const struct chart_curve *curve)
{
	fprintf(frame->out, "<polyline class=\"c%u%s\" points=\"", curve->colour,
		curve->dashed ? " dashed" : "");
	for (size_t i = 0; i < curve->n; i++)
		fprintf(frame->out, "%.1f,%.1f ", x_of(frame, curve->points[i].recall),
			y_of(frame, curve->points[i].mid));
	fputs("\"/>\n", frame->out);
	for (size_t i = 0; i < curve->n; i++) {
		const struct chart_point *point = &curve->points[i];
		double x = x_of(frame, point->recall);

		fprintf(frame->out,
			"<line class=\"bar c%u\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
			"<circle class=\"c%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n",
			curve->colour, x, y_of(frame, point->low), x, y_of(frame, point->high),
			curve->colour, x, y_of(frame, point->mid), curve->dashed ? 2.0 : 3.0);
	}
}

static void legend(const struct frame *frame, const struct chart *chart)
{
	/* Beside the curves. */
	double x = WIDTH - RIGHT + 10, y = TOP + 22;

	fprintf(frame->out,
		"<rect class=\"back\" x=\"%.1f\" y=\"%.1f\" width=\"165\" height=\"%.1f\" "
		"opacity=\"0.85\"/>\n",
		x, y - 15, 20.0 * (double)chart->n + 4);
	for (size_t i = 0; i < chart->n; i++, y += 20)
		fprintf(frame->out,
			"<polyline class=\"c%u%s\" points=\"%.1f,%.1f %.1f,%.1f\"/>"
			"<text class=\"text\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			chart->curves[i].colour, chart->curves[i].dashed ? " dashed" : "", x + 6,
			y - 4, x + 36, y - 4, x + 44, y, chart->curves[i].label);
}

/* The limits of all points, with a little room. false: nothing to draw. */
static bool set_limits(struct frame *frame, const struct chart *chart)
{
	bool any = false;

	frame->x_low = frame->y_low = INFINITY;
	frame->x_high = frame->y_high = -INFINITY;
	for (size_t c = 0; c < chart->n; c++)
		for (size_t i = 0; i < chart->curves[c].n; i++) {
			const struct chart_point *point = &chart->curves[c].points[i];

			any = true;
			frame->x_low = fmin(frame->x_low, recall_unit(point->recall));
			frame->x_high = fmax(frame->x_high, recall_unit(point->recall));
			frame->y_low = fmin(frame->y_low, log10(point->low));
			frame->y_high = fmax(frame->y_high, log10(point->high));
		}
	frame->x_low -= 0.03;
	frame->x_high += 0.03;
	frame->y_low -= 0.05;
	frame->y_high += 0.05;
	return any;
}

int chart_write(const struct chart *chart, const char *path)
{
	struct frame frame;

	if (!set_limits(&frame, chart))
		return 0;
	frame.out = fopen(path, "w");
	if (frame.out == NULL) {
		fprintf(stderr, "%s: cannot be written\n", path);
		return -1;
	}
	fprintf(frame.out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
		"height=\"%.0f\" role=\"img\">\n<title>%s</title>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, chart->title);
	style(frame.out);
	fprintf(frame.out,
		"<rect class=\"back\" width=\"%.0f\" height=\"%.0f\"/>\n"
		"<text class=\"text title\" x=\"%.1f\" y=\"28\">%s</text>\n"
		"<text class=\"faint\" x=\"%.1f\" y=\"50\">%s</text>\n",
		WIDTH, HEIGHT, LEFT, chart->title, LEFT, chart->note);
	x_axis(&frame);
	y_axis(&frame);
	fprintf(frame.out,
		"<polyline class=\"axis\" style=\"stroke-width:1\" points=\"%.1f,%.1f %.1f,%.1f "
		"%.1f,%.1f\"/>\n",
		LEFT, TOP, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
	for (size_t i = chart->n; i-- > 0;)
		draw_curve(&frame, &chart->curves[i]);
	legend(&frame, chart);
	fputs("</svg>\n", frame.out);
	return fclose(frame.out) == 0 ? 0 : -1;
}
